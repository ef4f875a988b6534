"""Native snapshots of a server: saved, restored, and refused."""

import errno
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rest_server import Answer, LocalQdrant, archive, serving
from titles import ALIAS, COUNT, MODEL, POINTS, VECTORS, build, clear, metadata

from ingest.transfer import restore_server_snapshot, write_server_snapshot
from jobsearch.cli import main
from jobsearch.errors import (
    CollectionMismatch,
    CollectionNotFound,
    InvalidInput,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
)
from jobsearch.store import Store, open_server_snapshots, open_store
from jobsearch.store.metadata import alias_name, build_name
from jobsearch.store.server.snapshots import ServerSnapshots, is_server_snapshot, read_snapshot


def save(url: str, name: str, path: Path) -> None:
    with closing(open_server_snapshots(url)) as snapshots, closing(open_store(url)) as store:
        write_server_snapshot(store, snapshots, name, path)


def restore(url: str, path: Path, **how: Any) -> str:
    with closing(open_server_snapshots(url)) as snapshots, closing(open_store(url, **how)) as store:
        return restore_server_snapshot(path, store, snapshots).collection


@pytest.fixture(params=["rest", "server"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A stand-in and a real server, each with titles.POINTS in a build of titles.ALIAS."""
    with ExitStack() as stack:
        if request.param == "rest":
            location = stack.enter_context(serving(LocalQdrant()))
        else:
            location = request.getfixturevalue("server_url")
            stack.callback(clear, location, MODEL)
        with closing(open_store(location)) as store:
            build(store, POINTS)
        yield location


def contents(store: Store, name: str) -> dict[str, tuple[Any, ...]]:
    return {
        point: (payload, vector.tolist())
        for batch in store.scroll(name)
        for point, payload, vector in zip(batch.ids, batch.payloads, batch.vectors, strict=True)
    }


def test_save_and_restore(url: str, tmp_path: Path) -> None:
    path = tmp_path / "en.snapshot"
    with closing(open_server_snapshots(url)) as snapshots, closing(open_store(url)) as store:
        saved = write_server_snapshot(store, snapshots, ALIAS, path)
        first = store.aliases()[ALIAS]
        assert (saved.alias, saved.collection, saved.points) == (ALIAS, first, COUNT)
        before = contents(store, first)
        assert is_server_snapshot(path)
        assert read_snapshot(path) == (ALIAS, store.describe(first).metadata)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (tmp_path / "en.snapshot.sha256").read_text() == f"{digest}  en.snapshot\n"
        assert sorted(each.name for each in tmp_path.iterdir()) == [
            path.name,
            f"{path.name}.sha256",
        ]

        restored = restore_server_snapshot(path, store, snapshots)
        second = store.aliases()[ALIAS]
        assert second != first
        assert (restored.alias, restored.collection, restored.points) == (ALIAS, second, COUNT)
        after = contents(store, second)
        assert after.keys() == before.keys()
        for point, (payload, vector) in before.items():
            assert after[point][0] == payload
            np.testing.assert_allclose(after[point][1], vector, atol=1e-6)
        assert store.verify(second) == []
        [[hit]] = store.query(ALIAS, VECTORS[:1], limit=1)
        assert hit.id == POINTS.ids[0]
        for name in (first, second):
            assert snapshots._request("GET", f"/collections/{name}/snapshots") == []
        assert store.rollback(ALIAS) == first


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(LocalQdrant()) as url:
        with closing(open_store(url)) as store:
            name = build(store, POINTS)
        made = run("collections", "snapshot", ALIAS, "en.snapshot", "--native", "--store", url)
        assert made.stdout == f"{ALIAS}: {COUNT} points -> en.snapshot\n"
        back = run("collections", "restore", "en.snapshot", "--store", url, "--json")
        assert json.loads(back.stdout)["points"] == COUNT
        with closing(open_store(url)) as store:
            assert store.aliases()[ALIAS] == json.loads(back.stdout)["collection"] != name


@pytest.mark.parametrize(
    "words", [("snapshot", ALIAS, "made.snapshot", "--native"), ("restore", "given.snapshot")]
)
def test_an_embedded_store_has_no_native_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.snapshot").write_bytes(archive({"config.json": {}}))
    refused = run("collections", *words)
    assert refused.exit_code == 2
    assert (
        "is not a Qdrant server, and only a server saves and restores native snapshots"
        in refused.stderr
    )


@pytest.fixture
def local() -> LocalQdrant:
    """A stand-in with titles.POINTS in a build of titles.ALIAS."""
    local = LocalQdrant()
    with serving(local) as url, closing(open_store(url)) as store:
        build(store, POINTS)
    return local


def test_a_cluster_is_refused(local: LocalQdrant, tmp_path: Path) -> None:
    nodes = {str(node): {"uri": f"http://node-{node}:6335"} for node in range(3)}
    local.cluster = lambda: {"status": "enabled", "peers": nodes}  # type: ignore[method-assign]
    given = tmp_path / "given.snapshot"
    given.write_bytes(claiming(ALIAS))
    with serving(local) as url:
        for use in (lambda: save(url, ALIAS, tmp_path / "en"), lambda: restore(url, given)):
            with pytest.raises(StoreError, match=r"is a cluster of 3 nodes.*without `native`"):
                use()
    assert local.snapshots == {}
    assert [each.name for each in tmp_path.iterdir()] == ["given.snapshot"]


def claiming(alias: object, **other: object) -> bytes:
    """A snapshot with these metadata of its collection."""
    kept = {**metadata(COUNT).as_dict(), "status": "ready", "alias": alias, **other}
    return archive({"config.json": {"metadata": kept}, "0/points": []})


@pytest.mark.parametrize(
    ("alias", "language"),
    [
        (
            "jobs__x/../victim/snapshots/upload?y=__{}__pretrained",
            "x/../victim/snapshots/upload?y=",
        ),
        ("jobs__../../../../secret?__{}__pretrained", "../../../../secret?"),
        ("jobs__\0__{}__pretrained", "\0"),
        ("jobs__EN__{}__pretrained", "EN"),
        ("jobs__de__{}__pretrained", "en"),
        ("others__en__{}__pretrained", "en"),
        (None, "en"),
    ],
)
def test_names_that_would_change_the_url(
    local: LocalQdrant, tmp_path: Path, alias: str | None, language: str
) -> None:
    requests = []

    def answer(method: str, path: str, body: Any) -> Answer:
        requests.append(method)
        return local(method, path, body)

    path = tmp_path / "given"
    path.write_bytes(claiming(alias and alias.format(MODEL), language=language))
    with serving(answer) as url, pytest.raises(StoreError, match="is not a native snapshot"):
        restore(url, path)
    assert set(requests) == {"GET"}


def test_a_name_is_escaped_in_the_url(local: LocalQdrant, tmp_path: Path) -> None:
    requests = []

    def answer(method: str, path: str, body: Any) -> Answer:
        requests.append(path)
        return local(method, path, body) if path == "/cluster" else (404, {})

    with (
        serving(answer) as url,
        closing(open_server_snapshots(url)) as snapshots,
        pytest.raises(StoreError),
    ):
        snapshots.save("a/../b?c", tmp_path / "en")
    assert requests == ["/cluster", "/collections/a%2F..%2Fb%3Fc/snapshots"]


@pytest.mark.parametrize("kind", ["altered", "cut", "none", "foreign"])
def test_a_damaged_download_replaces_nothing(local: LocalQdrant, tmp_path: Path, kind: str) -> None:
    broken: dict[str, Callable[[bytes], Answer]] = {
        "altered": lambda data: (200, data[:600] + b"?" + data[601:]),
        "cut": lambda data: (200, data[:-1]),
        "none": lambda _: (404, {"status": {"error": "not found"}}),
        "foreign": lambda _: (200, archive({"config.json": {}})),
    }

    def answer(method: str, path: str, body: Any) -> Answer:
        status, content = local(method, path, body)
        if isinstance(content, bytes):
            return broken[kind](content)
        if kind == "foreign" and method == "POST" and path.endswith("/snapshots"):
            del content["result"]["checksum"]
        return status, content

    path, checksum_file = tmp_path / "en", tmp_path / "en.sha256"
    path.write_text("an earlier one")
    checksum_file.write_text("its checksum")
    with serving(answer) as url, pytest.raises(StoreError) as caught:
        save(url, ALIAS, path)
    assert isinstance(caught.value, StoreDamaged) == (kind in ("altered", "cut"))
    assert (path.read_text(), checksum_file.read_text()) == ("an earlier one", "its checksum")
    assert len(list(tmp_path.iterdir())) == 2
    assert list(local.snapshots.values()) == [{}]


def test_a_file_that_was_altered(local: LocalQdrant, tmp_path: Path) -> None:
    path = tmp_path / "en"
    with serving(local) as url:
        save(url, ALIAS, path)
        data = bytearray(path.read_bytes())
        data[600] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreDamaged, match=r"does not match en\.sha256"):
            restore(url, path)
        with closing(open_store(url)) as store:
            assert len(store.collections()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1", "is not a native snapshot of a jobsearch collection"),
        (claiming(None), "is not a native snapshot"),
        (archive({"0/points": []}), "it has no config.json"),
        (archive({"config.json": []}), "is not a native snapshot"),
        (archive({"config.json": {}}), "'metadata'"),
        (archive({"config.json": {"metadata": None}}), "is not a native snapshot"),
        (archive({"config.json": "x" * 4_000_000}), "it has no config.json"),
        (archive({"config.json": {"metadata": {}}}), "metadata of version None"),
        (archive({"config.json": 0}).replace(b"0\0", b"[\0", 1), "is not a native snapshot"),
    ],
)
def test_files_that_are_not_snapshots(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "given"
    path.write_bytes(content)
    with pytest.raises((StoreError, CollectionMismatch), match=message) as caught:
        read_snapshot(path)
    assert str(path) in str(caught.value)


def test_a_deeply_nested_config(tmp_path: Path) -> None:
    nested: Any = []
    for _ in range(400):
        nested = [nested]
    deep = json.dumps(nested)
    path = tmp_path / "given"
    path.write_bytes(archive({"config.json": deep * 40}).replace(b'"[', b"[[", 1))
    with pytest.raises(StoreError, match="is not a native snapshot"):
        read_snapshot(path)


def test_an_incomplete_build(local: LocalQdrant, tmp_path: Path) -> None:
    with serving(local) as url:
        with closing(open_store(url)) as store:
            begun = build_name(ALIAS, metadata(0).encoder)
            store.create(begun, metadata(0))
        with pytest.raises(StoreError, match="is not complete: wait for its ingest to end"):
            save(url, begun, tmp_path / "en")
        with pytest.raises(CollectionNotFound):
            save(url, "jobs__xx__builtin__pretrained", tmp_path / "en")
        given = tmp_path / "given"
        given.write_bytes(claiming(ALIAS, status="building"))
        with pytest.raises(StoreError, match="is not complete: there is nothing to restore"):
            restore(url, given)


def test_the_corpus_of_a_benchmark_keeps_its_alias(tmp_path: Path) -> None:
    encoder = metadata(COUNT).encoder
    alias = alias_name("eval-melo", "en", encoder.model, "pretrained")
    name = build_name(alias, encoder)
    with serving(LocalQdrant()) as url:
        with closing(open_store(url)) as store:
            store.create(name, metadata(COUNT))
            store.upsert(name, POINTS)
            store.finish(name, metadata(COUNT))
        save(url, name, tmp_path / "en")
        made = restore(url, tmp_path / "en")
        with closing(open_store(url)) as store:
            assert store.aliases() == {alias: made}


def test_the_checksum_file(local: LocalQdrant, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"n\xe4me")
    checksum_file = path.with_name(f"{path.name}.sha256")
    with serving(local) as url:
        save(url, ALIAS, path)
        assert checksum_file.read_bytes().endswith(b"  n\xe4me\n")
        restore(url, path)
        checksum_file.unlink()
        restore(url, path)
        checksum_file.mkdir()
        with pytest.raises(StoreError, match="cannot be read"):
            restore(url, path)


def test_a_checksum_that_cannot_be_written(
    local: LocalQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "en"
    with serving(local) as url:
        save(url, ALIAS, path)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match=r"en\.sha256 cannot be written"):
            save(url, ALIAS, path)
    # The checksum of the previous file would not match the new one.
    assert [each.name for each in tmp_path.iterdir()] == ["en"]


def test_a_path_that_cannot_be_written_fails_before_the_snapshot(local: LocalQdrant) -> None:
    with serving(local) as url, pytest.raises(StoreError, match="cannot be written"):
        save(url, ALIAS, Path("/dev/null/en"))
    assert local.snapshots == {}


def test_a_link_in_place_of_the_checksum_fails_before_the_snapshot(
    local: LocalQdrant, tmp_path: Path
) -> None:
    link = tmp_path / "en.sha256"
    link.symlink_to("/dev/null")
    with serving(local) as url, pytest.raises(StoreError, match=r"en\.sha256 .*it is a link, not"):
        save(url, ALIAS, tmp_path / "en")
    assert local.snapshots == {}
    assert link.is_symlink()


def test_archives_that_python_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "pax"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as writer:
        member = tarfile.TarInfo("config.json")
        member.pax_headers = {"GNU.sparse.map": "a"}
        writer.addfile(member)
    assert not is_server_snapshot(path)
    with pytest.raises(StoreError, match="is not a native snapshot"):
        read_snapshot(path)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://qdrant/qdrant", "http://qdrant:6333/qdrant/"),
        ("https://h/p", "https://h:6333/p/"),
        ("http://http", "http://http:6333"),
        ("https://h:1/p", "https://h:1/p/"),
    ],
)
def test_the_base_url(url: str, base: str) -> None:
    with closing(open_server_snapshots(url)) as snapshots:
        assert str(snapshots._http.base_url) == base


@pytest.mark.parametrize("fault", ["refused", "gateway", "fewer", "other", "swap"])
def test_a_failed_restore_keeps_the_live_collection(
    local: LocalQdrant, tmp_path: Path, fault: str
) -> None:
    path = tmp_path / "en"
    with serving(local) as url:
        save(url, ALIAS, path)

    def answer(method: str, url_path: str, body: Any) -> Answer:
        if fault == "refused" and url_path.endswith("/upload"):
            return 400, {"status": {"error": "Wrong input: no such format"}}
        if fault == "swap" and url_path == "/collections/aliases":
            return 400, {"status": {"error": "no"}}
        answered = local(method, url_path, body)
        if url_path.endswith("/upload"):
            if fault == "gateway":
                return 504, "Gateway Time-out"
            name = url_path.split("/")[2]
            if fault == "fewer":
                local.client.delete(name, [POINTS.ids[0]])
            elif fault == "other":
                local.client.update_collection(name, metadata={"language": "de"})
        return answered

    with serving(answer) as url:
        with pytest.raises(StoreError):
            restore(url, path)
        with closing(open_store(url)) as store:
            [left] = store.collections()
            assert (left.aliases, left.points) == ((ALIAS,), COUNT)


def test_a_server_that_stops_answering(local: LocalQdrant, tmp_path: Path) -> None:
    path = tmp_path / "en"
    with serving(local) as url:
        save(url, ALIAS, path)

    def answer(method: str, url_path: str, body: Any) -> Answer:
        if url_path == "/collections/aliases":
            local(method, url_path, body)
            return 503, "gone"
        return local(method, url_path, body)

    with serving(answer) as url:
        with pytest.raises(StoreUnavailable, match="is not known"):
            restore(url, path, retry_s=0)
        # The server carried out the swap, so no build may be deleted.
        with closing(open_store(url)) as store:
            assert store.count(ALIAS) == COUNT
            assert len(store.collections()) == 2


def test_answers_that_are_not_valid_for_qdrant(tmp_path: Path) -> None:
    for nonsense in ([], {}, {"result": None}, {"result": {"peers": 3}}):
        with (
            serving(lambda *_, message=nonsense: (200, message)) as url,
            closing(open_server_snapshots(url)) as snapshots,
            pytest.raises(StoreError, match="is not valid for Qdrant"),
        ):
            snapshots.save("name", tmp_path / "en")
    assert list(tmp_path.iterdir()) == []


def test_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, key in (("http://example.org:6333", "secret"), ("http://localhost", "se cret\n")):
        with pytest.raises(InvalidInput) as caught:
            open_server_snapshots(url, api_key=key)
        assert key not in str(caught.value)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with (
        serving(LocalQdrant()) as url,
        closing(open_server_snapshots(url, api_key="secret")) as own,
    ):
        assert isinstance(own, ServerSnapshots)
        assert own._http.headers["api-key"] == "secret"
        own._check_one_node()
