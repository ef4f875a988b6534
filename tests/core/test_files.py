"""Atomic file writes, also in a folder that other users can write to, and file locks."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.reading import RejectLog
from jobsearch.errors import BenchmarkError, DownloadFailed, SourceError
from jobsearch.files import delete_file, file_lock, whole_file


def write(path: Path, text: str) -> None:
    with whole_file(path, "choose another file", BenchmarkError) as partial:
        partial.write_text(text)


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, victim = tmp_path / "out" / "report.html", tmp_path / "victim"
    victim.write_text("precious")
    path.parent.mkdir()
    for guess in (os.getpid(), "00000000"):
        path.with_name(f".report.html.{guess}.partial").symlink_to(victim)
    write(path, "page")
    assert path.read_text() == "page"
    # Nor is it followed if the random name is guessed.
    monkeypatch.setattr("secrets.token_hex", lambda _: "00000000")
    with pytest.raises(BenchmarkError, match=r"\(File exists\): choose another file"):
        write(path, "other")
    assert (path.read_text(), victim.read_text()) == ("page", "precious")


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_the_file_is_on_disk_before_it_replaces_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def fsync(descriptor: int) -> None:
        synced = os.fstat(descriptor)
        is_folder = os.path.samestat(synced, tmp_path.stat())
        done.append(("folder" if is_folder else synced.st_size, (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "file", "text")
    assert done == [(4, False), ("folder", True)]


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file", "", BenchmarkError) as new:
        new.write_text(f"new {1 / 0}")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def null_device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/null")


def link_to_a_file(path: Path) -> None:
    (path.parent / "target").write_text("precious")
    path.symlink_to("target")


@pytest.mark.parametrize(
    "make", [named_pipe, listening_socket, null_device, link_to_a_device, link_to_a_file]
)
def test_only_regular_files_are_replaced_or_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make(Path("file"))
    before = os.lstat("file")
    with pytest.raises(
        BenchmarkError, match=r"^file cannot be written \(it is a .*, not a regular"
    ):
        write(Path("file"), "text")
    with pytest.raises(OSError, match="not a regular file"):
        delete_file(Path("file"))
    with pytest.raises(SourceError, match=r"the rejects to file \(it is a .*not a regular file\)"):
        RejectLog(Path("file")).__exit__(None, None, None)
    assert os.lstat("file") == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("place", ["manifest.json", "new.json", "collections/a/0/x", "locks/new/x"])
def test_nothing_is_written_into_a_store(tmp_path: Path, place: str, damaged: bool) -> None:
    store = tmp_path / "store"
    for folder in ("collections/a/0", "locks"):
        (store / folder).mkdir(parents=True)
    if not damaged:
        (store / "manifest.json").write_text("{}")
    (tmp_path / "link").symlink_to(store)
    before = sorted(store.rglob("*"))
    for path in (store / place, tmp_path / "link" / place, store / ".." / "store" / place):
        with pytest.raises(BenchmarkError, match=rf"\(it is inside the store {store}\): choose"):
            write(path, "text")
    assert sorted(store.rglob("*")) == before
    write(tmp_path / "beside", "text")


def test_a_lock_that_is_held_raises_the_error_of_its_caller(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "file.lock"
    with (
        file_lock(lock, "the file", 0, DownloadFailed),
        pytest.raises(
            DownloadFailed,
            match=rf"^the file is locked by process {os.getpid()} since .* \(waited 0.1 s\): try",
        ),
        file_lock(lock, "the file", 0.1, DownloadFailed),
    ):
        pass
    with file_lock(lock, "the file", 0, BenchmarkError):
        assert lock.with_suffix(".holder").exists()
    assert not lock.with_suffix(".holder").exists()
