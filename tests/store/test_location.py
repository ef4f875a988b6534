"""Locations that look like the address of a server, and folders that do not."""

from pathlib import Path

import pytest

from jobsearch.errors import InvalidInput
from jobsearch.store import open_store

ADDRESSES = {
    "localhost:6333": "http://localhost:6333",
    "localhost:6333/": "http://localhost:6333",
    "localhost": "http://localhost:6333",
    "LOCALHOST:7000": "http://LOCALHOST:7000",
    "127.0.0.1": "http://127.0.0.1:6333",
    "10.0.0.5:80": "http://10.0.0.5:80",
    "[::1]:6333": "http://[::1]:6333",
    "qdrant:6333": "http://qdrant:6333",
    "qdrant.example.org": "https://qdrant.example.org:6333",
    "qdrant.example.org:6333/path": "https://qdrant.example.org:6333",
    "http:/host": "http://host:6333",
    "http:host:6334": "http://host:6334",
    "http//localhost:6333": "http://localhost:6333",
    "https//host": "https://host:6333",
    "HTTPS:/qdrant.example.org": "https://qdrant.example.org:6333",
    r"http:\\host": "http://host:6333",
    "htps:/host": "http://localhost:6333",
    ":memory": "http://localhost:6333",
    "memory:": "http://localhost:6333",
}


@pytest.mark.parametrize(("location", "url"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address_without_a_scheme_is_refused(
    location: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="looks like the address of a server") as caught:
        open_store(location)
    assert f"give its URL {url}, or ./{location} for a folder" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "location",
    [
        ".jobsearch", "store", "esco-1.2.0", "store.v2", "stores/qdrant.example.org", "a b",
        "./localhost:6333", "./qdrant.example.org", "../localhost", "titel-münchen.de2",
    ],
)  # fmt: skip
def test_a_folder(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert open_store(location).collections() == []
    assert open_store(str(tmp_path / "localhost:6333")).collections() == []


def test_a_folder_that_exists_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "localhost:6333").mkdir()
    assert open_store("localhost:6333").collections() == []


def test_the_message_shows_no_password() -> None:
    with pytest.raises(InvalidInput) as caught:
        open_store("user:hunter2@qdrant.example.org:6333")
    assert "hunter2" not in str(caught.value)
    assert "give its URL https://qdrant.example.org:6333, or" in str(caught.value)
