"""``jobsearch data``, with a stand-in for Zenodo on this machine."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from zenodo_server import NAME, RECORD, Zenodo, serving

from ingest.download import ZenodoFile
from ingest.sources.esco import SAMPLE_FOLDER


def task_a() -> bytes:
    """The sample's benchmark as a zip file with the layout of TalentCLEF task A."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted((SAMPLE_FOLDER / "benchmark").rglob("*")):
            archive.write(path, Path("TaskA") / path.relative_to(SAMPLE_FOLDER / "benchmark"))
    return content.getvalue()


@pytest.fixture
def zenodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zenodo]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving(task_a()) as server:
        monkeypatch.setattr("ingest.download.TALENTCLEF_2025", server.file)
        yield server


def test_fetch_then_evaluate(run, zenodo: Zenodo) -> None:
    done = run("data", "talentclef-2025")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"data/{NAME}\n"
    messages = done.stderr.splitlines()
    assert messages[-1] == f"next: jobsearch eval talentclef data/{NAME}"
    assert f"downloaded {len(zenodo.content):,} bytes" in messages[-2]
    assert "%" not in done.stderr  # no progress bar without a terminal
    assert Path("data", NAME).read_bytes() == zenodo.content

    command = messages[-1].removeprefix("next: jobsearch ").split()
    measured = run(*command, "--pairs", "en-en", "--variant", "pretrained", "--json")
    assert measured.exit_code == 0, measured.output
    (cell,) = json.loads(measured.stdout)["cells"]
    assert (cell["benchmark"], cell["pair"], cell["queries"]) == ("talentclef-2025", "en-en", 30)


def test_one_json_document(run, zenodo: Zenodo) -> None:
    first = json.loads(run("data", "talentclef-2025", "--to", "my data", "--json").stdout)
    assert first["verified_at"]
    assert first == {
        "path": f"my data/{NAME}",
        "downloaded": True,
        "url": f"{zenodo.site}/api/records/{RECORD}/files/{NAME}/content",
        "size_bytes": len(zenodo.content),
        "md5": zenodo.md5,
        "sha256": hashlib.sha256(zenodo.content).hexdigest(),
        "verified_at": first["verified_at"],
    }
    again = run("data", "talentclef-2025", "--to", "my data", "--json")
    assert json.loads(again.stdout) == {**first, "downloaded": False}
    assert "nothing downloaded" in again.stderr
    assert f"next: jobsearch eval talentclef 'my data/{NAME}'" in again.stderr
    assert len(zenodo.ranges) == 1


def test_a_damaged_file_is_downloaded_again(run, zenodo: Zenodo) -> None:
    run("data", "talentclef-2025")
    Path("data", NAME).write_bytes(b"PK")
    done = run("data", "talentclef-2025")
    assert (done.exit_code, done.stdout) == (0, f"data/{NAME}\n")
    assert f"data/{NAME} is damaged" in done.stderr
    assert Path("data", NAME).read_bytes() == zenodo.content


def test_no_network(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("time.sleep", lambda _: None)
    unreachable = ZenodoFile(RECORD, NAME, "jobsearch eval talentclef", "http://127.0.0.1:9")
    monkeypatch.setattr("ingest.download.TALENTCLEF_2025", unreachable)
    done = run("data", "talentclef-2025")
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: http://127.0.0.1:9/api/records/{RECORD} cannot be reached")
    assert f"http://127.0.0.1:9/records/{RECORD}" in line
    assert line.endswith("give its path to `jobsearch eval talentclef PATH`")
