"""Files that are there when they are complete, whoever else may write into their folder."""

import os
from pathlib import Path

import pytest

from jobsearch.errors import BenchmarkError
from jobsearch.files import whole_file


def write(path: Path, text: str) -> None:
    with whole_file(path, "choose another file", BenchmarkError) as partial:
        partial.write_text(text)


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, victim = tmp_path / "out" / "report.html", tmp_path / "victim"
    victim.write_text("precious")
    path.parent.mkdir()
    for foreseen in (os.getpid(), "00000000"):
        path.with_name(f".report.html.{foreseen}.partial").symlink_to(victim)
    write(path, "page")
    assert path.read_text() == "page"
    # Nor if the name could be foreseen.
    monkeypatch.setattr("secrets.token_hex", lambda _: "00000000")
    with pytest.raises(BenchmarkError, match=r"\(File exists\): choose another file"):
        write(path, "other")
    assert (path.read_text(), victim.read_text()) == ("page", "precious")


def test_it_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_the_disk_has_it_before_it_takes_the_place(
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


def test_what_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file", "", BenchmarkError) as new:
        new.write_text(f"new {1 / 0}")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]
