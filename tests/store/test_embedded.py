"""The embedded store: files, processes, locks and crashes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import qdrant_edge as edge
from titles import (
    ALIAS,
    COUNT,
    POINTS,
    TITLES,
    VECTORS,
    batch,
    build,
    encoder_info,
    metadata,
    records,
    unit_vectors,
)

from jobsearch.errors import (
    CollectionMismatch,
    CollectionNotFound,
    StoreDamaged,
    StoreError,
    StoreLocked,
)
from jobsearch.store import open_store
from jobsearch.store.embedded.engine_files import private_folder
from jobsearch.store.embedded.folder import StoreFolder
from jobsearch.store.embedded.manifest import CollectionEntry
from jobsearch.store.embedded.store import EmbeddedStore
from jobsearch.store.metadata import build_name
from jobsearch.types import Quantization, VectorStorage

HERE = Path(__file__).resolve().parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore(path, lock_timeout_s=0.3, build_timeout_s=0.1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one finished build."""
    path = tmp_path_factory.mktemp("built") / "store"
    with closing(EmbeddedStore(path)) as opened:
        build(opened, POINTS)
    return path


@pytest.fixture
def copied(built: Path, path: Path) -> Path:
    """A copy of ``built`` that the test may damage."""
    shutil.copytree(built, path)
    return path


def count(path: Path) -> int:
    with closing(EmbeddedStore(path)) as opened:
        return opened.count(ALIAS)


# The folder


def test_reading_writes_nothing(path: Path, store: EmbeddedStore) -> None:
    with pytest.raises(CollectionNotFound, match=r"it is empty.*`jobsearch ingest sample`"):
        store.count(ALIAS)
    assert store.collections() == []
    assert store.aliases() == {}
    assert not path.exists()


def test_open_store_opens_a_folder(path: Path) -> None:
    with closing(open_store(str(path))) as opened:
        assert isinstance(opened, EmbeddedStore)
        assert opened.location == str(path)
    assert not path.exists()


def test_a_file_is_not_a_store(path: Path, store: EmbeddedStore) -> None:
    path.write_text("notes")
    for use in (lambda: store.count(ALIAS), lambda: build(store, POINTS)):
        with pytest.raises(StoreError, match="is a file"):
            use()
    assert path.read_text() == "notes"


def test_a_folder_with_other_files_is_not_changed(path: Path, store: EmbeddedStore) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("notes")
    for use in (lambda: store.count(ALIAS), lambda: build(store, POINTS)):
        with pytest.raises(StoreError, match="contains other files"):
            use()
    with pytest.raises(StoreError, match="contains other files"), store.build_lock(ALIAS):
        pass
    assert [entry.name for entry in path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_becomes_a_store(path: Path, store: EmbeddedStore) -> None:
    path.mkdir()
    with store.build_lock(ALIAS):
        build(store, POINTS)
    assert store.count(ALIAS) == COUNT


# Damage


def damaged(data: bytes) -> dict[str, bytes | None]:
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"x"
    return {
        "deleted": None,
        "truncated": data[:middle],
        "zeroed": bytes(len(data)),
        "one bit": flipped,
    }


def test_no_damaged_file_reaches_the_engine(copied: Path) -> None:
    [shard] = (copied / "collections").glob("*/0")
    sealed = [p for p in shard.rglob("*") if p.is_file()]
    assert len(sealed) > 50
    for file in sealed:
        size = file.stat().st_size
        # Large files are holes after their first bytes.
        data = file.read_bytes()[: 1 << 16]
        for how, content in damaged(data).items():
            if content == data:
                continue
            if content is None:
                file.unlink()
            else:
                with file.open("r+b") as opened:
                    opened.write(content)
                    opened.truncate(len(content) if how == "truncated" else size)
            with pytest.raises(StoreDamaged, match="is damaged") as caught:
                count(copied)
            assert str(file) in str(caught.value), how
            with file.open("wb") as opened:
                opened.write(data)
                opened.truncate(size)
    assert count(copied) == COUNT


def test_a_missing_folder(copied: Path) -> None:
    [folder] = (copied / "collections").iterdir()
    shutil.rmtree(folder)
    with pytest.raises(StoreDamaged, match=r"is missing and \d+ more; restore .* or ingest"):
        count(copied)


GARBAGE = {
    "empty": b"",
    "half": b'{"layout": 1, "coll',
    "binary": bytes(range(256)),
    "a list": b"[]",
    "no layout": b"{}",
    "no aliases": b'{"layout": 1, "collections": {}}',
    "climbs out": b'{"layout": 1, "collections": {}, "aliases": {"a": "../../etc"}}',
    "strange entry": b'{"layout": 1, "collections": {"a": 3}, "aliases": {}}',
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_garbage_manifest(copied: Path, content: bytes) -> None:
    (copied / "manifest.json").write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"manifest.json cannot be read .*restore it from"):
        count(copied)
    with closing(EmbeddedStore(copied)) as store, pytest.raises(StoreDamaged):
        build(store, POINTS)
    assert (copied / "manifest.json").read_bytes() == content


def test_a_lost_manifest(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    with pytest.raises(StoreDamaged, match=r"manifest.json is missing: restore it"):
        count(copied)
    with closing(EmbeddedStore(copied)) as store, pytest.raises(StoreDamaged):
        build(store, POINTS)


def test_another_layout(copied: Path) -> None:
    manifest = copied / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "layout": 2}))
    with pytest.raises(
        StoreError, match=r"has layout 2, and this jobsearch reads layout 1"
    ) as caught:
        count(copied)
    assert not isinstance(caught.value, StoreDamaged)


def test_metadata_of_another_version(copied: Path) -> None:
    manifest = copied / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(CollectionMismatch, match="version 2"):
        count(copied)


def test_verify_names_the_file(copied: Path) -> None:
    [page] = (copied / "collections").glob("*/0/segments/*/payload_storage/page_0.dat")
    with page.open("r+b") as file:
        file.write(b"\xff\xff")
    with closing(EmbeddedStore(copied)) as store:
        assert store.verify(ALIAS) == [f"{page} was altered (its checksum differs)"]


def test_a_store_can_be_copied_without_holes(built: Path, path: Path) -> None:
    for file in (p for p in built.rglob("*") if p.is_file()):
        target = path / file.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    assert count(path) == COUNT


def test_a_previous_build_with_missing_files(copied: Path) -> None:
    with closing(EmbeddedStore(copied)) as store:
        previous = store.aliases()[ALIAS]
        live = build(store, POINTS)
        shutil.rmtree(copied / "collections" / previous)
        with pytest.raises(StoreDamaged, match=f"{previous} is damaged: .* is missing"):
            store.rollback(ALIAS)
        assert store.aliases() == {ALIAS: live}
        assert store.count(ALIAS) == COUNT


def test_a_collection_of_a_later_generation(copied: Path) -> None:
    """Earlier versions could delete titles, and then wrote the next generation."""
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    [(name, entry)] = manifest["collections"].items()
    assert entry["generation"] == 0
    entry["generation"] = 2
    path.write_text(json.dumps(manifest))
    folder = copied / "collections" / name
    (folder / "0").rename(folder / "2")
    with closing(EmbeddedStore(copied)) as store:
        assert store.count(ALIAS) == COUNT
        assert store.verify(ALIAS) == []
        build(store, batch(TITLES[:30], VECTORS[:30]))
        assert store.rollback(ALIAS) == name
        assert store.count(ALIAS) == COUNT
    assert json.loads(path.read_text())["collections"][name]["generation"] == 2


# Several processes


READER = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from titles import records, unit_vectors
from jobsearch.store import open_store
store = open_store(sys.argv[1])
vectors = unit_vectors({COUNT})
print("open", flush=True)
sys.stdin.readline()
for _ in range(20):
    rows = store.query(sys.argv[2], vectors, limit=1)
    assert [row[0].id for row in rows] == [title.point_id for title in records({COUNT})]
print(store.count(sys.argv[2]), flush=True)
sys.stdin.readline()
"""

BUILDER = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from titles import POINTS, encoder_info, metadata
from jobsearch.store import open_store
from jobsearch.store.metadata import build_name
store = open_store(sys.argv[1])
with store.build_lock(sys.argv[2]):
    name = build_name(sys.argv[2], encoder_info())
    store.create(name, metadata({COUNT}))
    store.upsert(name, POINTS)
    print(name, flush=True)
    sys.stdin.readline()
"""


def start(script: str, path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), ALIAS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_two_processes_read_while_a_third_builds(copied: Path) -> None:
    before = (copied / "manifest.json").read_bytes()
    with start(READER, copied) as one, start(READER, copied) as two:
        assert [read_line(one), read_line(two)] == ["open", "open"]
        go_on(one), go_on(two)
        assert [read_line(one), read_line(two)] == [str(COUNT), str(COUNT)]
        # While both have it open, a third process builds.
        with closing(EmbeddedStore(copied)) as store:
            assert store.verify(ALIAS) == []
            build(store, batch(TITLES[:30], VECTORS[:30]))
        go_on(one), go_on(two)
        assert [one.wait(20), two.wait(20)] == [0, 0]
    assert (copied / "manifest.json").read_bytes() != before
    assert count(copied) == 30


@pytest.fixture
def killed(copied: Path) -> str:
    """The name of a build whose process was killed before the end."""
    with start(BUILDER, copied) as builder:
        name = read_line(builder)
        builder.send_signal(signal.SIGKILL)
        builder.wait(20)
    assert (copied / "collections" / name).is_dir()
    return name


def test_a_killed_build_changes_nothing_and_is_deleted(copied: Path, killed: str) -> None:
    with closing(EmbeddedStore(copied)) as store:
        live = store.aliases()[ALIAS]
        assert live != killed
        assert store.count(ALIAS) == COUNT
        assert store.describe(killed).points == 0
        with pytest.raises(StoreError, match="not complete"):
            store.count(killed)
        with pytest.raises(StoreError, match="being built elsewhere"):
            store.upsert(killed, POINTS)
        with store.build_lock(ALIAS):
            assert [info.name for info in store.collections()] == [live]
            build(store, POINTS)
        assert not (copied / "collections" / killed).exists()
        assert store.rollback(ALIAS) == live


def test_two_builders(copied: Path) -> None:
    with start(BUILDER, copied) as builder:
        name = read_line(builder)
        with closing(EmbeddedStore(copied, build_timeout_s=0.1)) as store:
            with pytest.raises(StoreLocked) as caught, store.build_lock(ALIAS):
                pass
            assert str(caught.value).startswith(
                f"the build of {ALIAS} is locked by process {builder.pid} since 20"
            )
            # Reading and builds for other aliases are possible, and keep the other build.
            with store.build_lock(f"{ALIAS}-other"):
                assert store.count(ALIAS) == COUNT
            assert name in {info.name for info in store.collections()}
        go_on(builder)
        assert builder.wait(20) == 0
    with closing(EmbeddedStore(copied, build_timeout_s=0.1)) as store, store.build_lock(ALIAS):
        pass


def test_a_running_build_is_not_dropped(copied: Path) -> None:
    with start(BUILDER, copied) as builder, closing(EmbeddedStore(copied)) as store:
        name = read_line(builder)
        live = store.aliases()[ALIAS]
        with pytest.raises(StoreLocked, match=f"the build of {ALIAS} is locked by process"):
            store.drop(name)
        assert names(copied) == sorted([live, name])
        builder.send_signal(signal.SIGKILL)
        builder.wait(20)
        store.drop(name)
        assert names(copied) == [live]
        with store.build_lock(ALIAS):
            own = build_name(ALIAS, encoder_info())
            store.create(own, metadata(COUNT))
            store.drop(own)
        assert names(copied) == [live]


def test_the_error_for_a_locked_store_names_the_holder(store: EmbeddedStore, path: Path) -> None:
    build(store, POINTS)
    with (
        StoreFolder(path, 0.1).changing(),
        pytest.raises(
            StoreLocked, match=rf"locked by process {os.getpid()} since .* \(waited 0.3 s\)"
        ),
    ):
        store.swap_alias(ALIAS, "x", expected=None)
    assert store.count(ALIAS) == COUNT


def test_a_lock_without_a_note_of_its_holder(store: EmbeddedStore, path: Path) -> None:
    build(store, POINTS)
    with StoreFolder(path, 0.1).changing():
        (path / "locks" / "store.holder").unlink()
        with pytest.raises(StoreLocked, match="locked by another process"):
            store.rollback(ALIAS)


def test_a_reader_follows_the_alias(store: EmbeddedStore, path: Path) -> None:
    build(store, POINTS)
    with closing(EmbeddedStore(path)) as reader:
        assert reader.count(ALIAS) == COUNT
        parts = reader.scroll(ALIAS, batch_size=10)
        first = next(parts)
        for size in (30, 20, 10):
            build(store, batch(TITLES[:size], VECTORS[:size]))
            assert reader.count(ALIAS) == size
        # The open scroll reads its collection to the end, although it is deleted.
        assert len(first) + sum(len(part) for part in parts) == COUNT


def test_a_build_replaced_between_lookup_and_load(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(store, POINTS)
    check = StoreFolder.check_files
    calls = []

    def overtaken(self: StoreFolder, name: str, entry: CollectionEntry) -> None:
        calls.append(name)
        if len(calls) == 1:
            for _ in range(2):
                build(store, batch(TITLES[:9], VECTORS[:9]))
        check(self, name, entry)

    with closing(EmbeddedStore(path)) as reader:
        monkeypatch.setattr(StoreFolder, "check_files", overtaken)
        assert reader.count(ALIAS) == 9
    assert len(calls) == 2


# Crashes and errors of the file system


def names(path: Path) -> list[str]:
    return sorted(each.name for each in (path / "collections").iterdir())


def test_a_full_disk_at_the_swap(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = build(store, POINTS)
    new = build(store, POINTS, live=False)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path / "manifest.json.new"))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"the disk is full, .*manifest.json.new"):
            store.swap_alias(ALIAS, new, expected=live)
    assert store.aliases() == {ALIAS: live}
    store.swap_alias(ALIAS, new, expected=live)
    assert store.aliases() == {ALIAS: new}


def test_drop_works_on_a_full_disk(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = build(store, POINTS)
    live = build(store, POINTS)
    reserve = path / "reserve"
    real_write, real_open = os.fsync, Path.open

    def sync(descriptor: int) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real_write(descriptor)

    def written(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode and self.suffix != ".new":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real_open(self, mode, *args, **options)

    assert reserve.stat().st_size == 1 << 20
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(Path, "open", written)
        assert store.count(ALIAS) == COUNT
        store.drop(old)
        assert not reserve.exists()
    assert [info.name for info in store.collections()] == [live]
    build(store, POINTS)
    assert reserve.exists()


def test_readers_do_not_wait_for_one_another(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, loading, may_load = edge.EdgeShard.load, threading.Event(), threading.Event()
    counts: list[int] = []

    class Slow:
        @staticmethod
        def load(*args: Any) -> Any:
            if not loading.is_set():
                loading.set()
                assert may_load.wait(60)
            return real(*args)

    monkeypatch.setattr("jobsearch.store.embedded.shard.edge.EdgeShard", Slow)
    stopped = threading.Thread(target=lambda: counts.append(count(copied)))
    stopped.start()
    assert loading.wait(60)
    assert count(copied) == COUNT, "while the other reader is loading"
    may_load.set()
    stopped.join(60)
    assert counts == [COUNT]
    assert not list(copied.rglob("jobsearch-load-*")), "temporary folders are deleted"


def test_a_clock_that_was_set_back(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        late = datetime(2100, 1, 1, tzinfo=UTC)
        moments = iter([late, late + timedelta(hours=1)])
        patch.setattr(
            "titles.build_name", lambda alias, info: build_name(alias, info, next(moments))
        )
        build(store, POINTS)
        build(store, POINTS)
    before = build(store, POINTS)
    live = build(store, POINTS)
    assert sorted(info.name for info in store.collections()) == [before, live]
    assert store.rollback(ALIAS) == before


def test_a_disk_that_is_almost_full(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    live = build(store, POINTS)
    usage = shutil.disk_usage("/")._replace(free=31 << 20)
    name = build_name(ALIAS, encoder_info())
    store.create(name, metadata(COUNT))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match=r"almost full: 31 MB are free, 32 MB needed: make room"):
        store.upsert(name, POINTS)
    with pytest.raises(StoreError, match="almost full"):
        store.create(build_name(ALIAS, encoder_info()), metadata(COUNT))
    assert store.count(name) == 0
    assert store.aliases() == {ALIAS: live}


REFUSALS: dict[str, Callable[[], OSError]] = {
    "no permission for /x": lambda: PermissionError(errno.EACCES, "Permission denied", "/x"),
    "/x could not be used: Input/output error": lambda: OSError(errno.EIO, os.strerror(5), "/x"),
}


@pytest.mark.parametrize(("message", "refusal"), REFUSALS.items(), ids=["permission", "defect"])
def test_errors_of_the_file_system(
    store: EmbeddedStore,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    refusal: Callable[[], OSError],
) -> None:
    def refuse(path: object) -> None:
        raise refusal()

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    with pytest.raises(StoreError, match=message):
        build(store, POINTS)


def test_no_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with (
        closing(EmbeddedStore(tmp_path / "store")) as store,
        pytest.raises(StoreError, match="permis"),
    ):
        build(store, POINTS)


def test_a_failed_create_leaves_nothing_behind(
    store: EmbeddedStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = build(store, POINTS)
    refused = OSError(errno.EIO, "Input/output error", "/x")
    with monkeypatch.context() as patch:
        patch.setattr("jobsearch.store.embedded.store.ShardWriter", Mock(side_effect=refused))
        with pytest.raises(StoreError, match="/x could not be used"):
            store.create(build_name(ALIAS, encoder_info()), metadata(COUNT))
    assert [info.name for info in store.collections()] == names(path) == [live]


def test_an_orphaned_folder_is_deleted(store: EmbeddedStore, path: Path) -> None:
    live = build(store, POINTS)
    other = f"{ALIAS}-other__20260101t000000000000_0a0a0a0a"
    for orphan in (build_name(ALIAS, encoder_info()), other):
        (path / "collections" / orphan / "0").mkdir(parents=True)
    with store.build_lock(ALIAS):
        assert names(path) == sorted([live, other])


def test_a_build_deleted_by_another_builder_cannot_be_finished(
    store: EmbeddedStore, path: Path
) -> None:
    name = build_name(ALIAS, encoder_info())
    store.create(name, metadata(COUNT))
    store.upsert(name, POINTS)
    with closing(EmbeddedStore(path)) as other, other.build_lock(ALIAS):
        pass
    with pytest.raises(CollectionNotFound, match=name):
        store.finish(name, metadata(COUNT))
    assert store.collections() == []


def test_an_unfinished_build_ends_with_its_store(path: Path) -> None:
    name = build_name(ALIAS, encoder_info())
    store = EmbeddedStore(path)
    store.create(name, metadata(COUNT))
    store.upsert(name, POINTS)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="being built elsewhere"):
        store.finish(name, metadata(COUNT))


@pytest.mark.parametrize("quantization", ["none", "int8", "binary"])
def test_a_large_build_gets_an_index(path: Path, quantization: Quantization) -> None:
    points = batch(records(600), unit_vectors(600, dim=64))
    storage = VectorStorage(quantization)
    with closing(EmbeddedStore(path, exact_scan_max_points=200)) as store:
        build(store, points, storage=storage)
        assert store.verify(ALIAS) == []
        assert store.describe(ALIAS).metadata.storage == storage
    names = {file.name for file in path.rglob("*quantized*")}
    assert bool(names) is (quantization != "none")
    with closing(EmbeddedStore(path, exact_scan_max_points=200)) as store:
        queries = unit_vectors(5, dim=64, seed=1)
        cosines = queries @ points.vectors.T
        by_hand = np.argsort(-cosines, axis=1)[:, :10]
        found = store.query(ALIAS, queries, limit=10, exact=True)
        assert [[p.id for p in row] for row in found] == [
            [points.ids[i] for i in row] for row in by_hand
        ]
        rough = store.query(ALIAS, queries, limit=10)
        shared = [
            len({p.id for p in a} & {p.id for p in b}) for a, b in zip(rough, found, strict=True)
        ]
        # One bit per dimension distinguishes random vectors poorly.
        assert sum(shared) >= (25 if quantization == "binary" else 45)
        # Scores are computed from the full vectors, also with quantisation.
        for row, points_found in enumerate(rough):
            for point in points_found:
                expected = cosines[row, points.ids.index(point.id)]
                assert point.score == pytest.approx(expected, abs=1e-5)


def drop_and_die(path: Path, name: str, moment: str) -> None:
    """Drop a collection in another process, which is killed at a moment of the deletion."""
    script = (
        "import os, shutil, signal, sys; from pathlib import Path\n"
        "from jobsearch.store.embedded.store import EmbeddedStore\n"
        "from jobsearch.store.embedded.folder import StoreFolder\n"
        "path, name, moment = sys.argv[1:]\n"
        "remove = StoreFolder.remove\n"
        "def die(self, name):\n"
        "    if moment == 'half':\n"
        "        next((Path(path) / 'collections' / name).rglob('*.mmap')).unlink()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "StoreFolder.remove = die\n"
        "EmbeddedStore(path).drop(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path), name, moment], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["before", "half"])
def test_what_a_killed_deletion_leaves_is_found_and_deleted(
    path: Path, store: EmbeddedStore, moment: str
) -> None:
    old = build(store, POINTS)
    live = build(store, POINTS)
    drop_and_die(path, old, moment)
    assert [info.name for info in store.collections()] == [live]
    assert store.leftovers() == [old]
    assert (path / "collections" / old).is_dir()
    store.drop(old)
    assert store.leftovers() == []
    assert [folder.name for folder in (path / "collections").iterdir()] == [live]
    with pytest.raises(CollectionNotFound):
        store.drop(old)
    assert store.count(ALIAS) == COUNT


def test_other_folders_are_no_leftovers(path: Path, store: EmbeddedStore) -> None:
    live = build(store, POINTS)
    for name in ("lost+found", ".DS_Store", "notes__a__b__c__d", "jobs__en"):
        (path / "collections" / name).mkdir()
    (path / "collections" / f"{live}0").write_text("a file")
    assert store.leftovers() == []


def test_a_build_that_is_about_to_go_live_is_not_dropped(path: Path, store: EmbeddedStore) -> None:
    first = build(store, POINTS)
    with store.build_lock(ALIAS):
        coming = build(store, POINTS, live=False)
        with (
            closing(EmbeddedStore(path, lock_timeout_s=0.3)) as other,
            pytest.raises(StoreLocked, match=f"the build of {ALIAS} is locked"),
        ):
            other.drop(coming)
        store.swap_alias(ALIAS, coming, expected=first)
        with closing(EmbeddedStore(path)) as other:
            # The previous build is not needed by the ingest.
            other.drop(first)
    assert store.count(ALIAS) == COUNT


# Folders of processes


def abandoned(parent: Path) -> Path:
    folder = parent / "jobsearch-load-abandoned"
    (folder / "segments").mkdir(parents=True)
    (folder / "segments" / "vectors").write_bytes(bytes(100))
    return folder


def test_a_private_folder_clears_those_of_killed_processes(tmp_path: Path) -> None:
    left = abandoned(tmp_path)
    others = [tmp_path / "load-other", tmp_path / "jobsearch-load-file"]
    others[0].mkdir()
    others[1].write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "jobsearch-load-link").symlink_to("elsewhere")
    with private_folder(tmp_path) as one:
        assert not left.exists()
        # The folder of a running process is kept.
        with private_folder(tmp_path) as two:
            assert one.is_dir()
            assert two.is_dir()
            assert one != two
        assert one.is_dir()
        assert not two.exists()
    assert not one.exists()
    assert all(each.exists() for each in others)
    assert (tmp_path / "elsewhere").is_dir()


def test_a_private_folder_that_another_process_clears_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(**options: Any) -> str:
        made.append(mkdtemp(**options))
        return made[-1]

    def lock(descriptor: int, how: int) -> None:
        if len(made) == 1:
            shutil.rmtree(made[0])

    monkeypatch.setattr("jobsearch.store.embedded.engine_files.mkdtemp", make)
    monkeypatch.setattr("fcntl.flock", lock)
    with private_folder(tmp_path) as folder:
        assert str(folder) == made[1]
        assert folder.is_dir()
