"""A store that its reader may not write: another user's, or on a file system mounted read-only."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from titles import ALIAS, COUNT, POINTS, build

from jobsearch.errors import StoreError
from jobsearch.store.embedded.store import EmbeddedStore

# Root may write everywhere, unless it gives up CAP_DAC_OVERRIDE (1) before it runs something.
_OBEYING_MODES = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.argv[1], "
    "sys.argv[1:])"
)
_CLI = "from jobsearch.cli import main; main(prog_name='jobsearch')"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store with one finished build, whose modes are put right again."""
    path = tmp_path / "store"
    with closing(EmbeddedStore(path)) as opened:
        build(opened, POINTS)
    yield path
    for folder in (path, *path.rglob("*/")):
        folder.chmod(0o700)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    path = tmp_path / "tmp"
    path.mkdir()
    return path


def only_readable(store: Path, *, files: bool) -> None:
    for path in (store, *store.rglob("*")):
        if files or path.is_dir():
            path.chmod(0o500 if path.is_dir() else 0o400)


def run(temporary: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that modes of files hold for."""
    if sys.platform != "linux":
        pytest.skip("only Linux lets root give that up")
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", _OBEYING_MODES, sys.executable, *words],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)},
        input="\n", capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("files", [True, False], ids=["all", "folders"])
def test_it_is_searched(store: Path, temporary: Path, files: bool) -> None:
    only_readable(store, files=files)
    before = set(store.rglob("*"))
    reader = Path(__file__).with_name("isolated_reader.py")
    done = run(temporary, str(reader), str(store), ALIAS)
    assert done.stdout == "whole\n"
    assert list(temporary.iterdir()) == []
    assert set(store.rglob("*")) == before, "nothing is left of it"


def test_a_copy_is_told_once(store: Path, temporary: Path) -> None:
    only_readable(store, files=True)
    [segments] = store.glob("collections/*/0/segments")
    size = sum(path.stat().st_size for path in segments.rglob("*") if path.is_file()) >> 20
    told = f"{segments} may only be read: searching a copy in {temporary} ({size} MB at most)\n"
    done = run(temporary, "-c", _CLI, "collections", "verify", ALIAS, "--store", str(store))
    assert (done.returncode, done.stderr) == (0, told)


def test_it_is_not_changed(store: Path, temporary: Path) -> None:
    only_readable(store, files=True)
    line = ("collections", "rollback", ALIAS, "--store", str(store))
    done = run(temporary, "-c", _CLI, *line)
    assert done.returncode == 1
    assert f"error: no permission for {store}/locks/store.lock: give --store" in done.stderr


def test_a_mount_that_is_read_only(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = OSError(errno.EROFS, os.strerror(errno.EROFS), str(store / "locks" / "store.lock"))
    monkeypatch.setattr("jobsearch.store.embedded.folder.hold", Mock(side_effect=refused))
    with closing(EmbeddedStore(store)) as opened:
        assert opened.count(ALIAS) == COUNT
        with pytest.raises(StoreError, match=r"store\.lock is read-only: give --store a folder"):
            opened.rollback(ALIAS)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_no_room_for_a_copy(
    store: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    if when == "before":
        usage = shutil.disk_usage(store)._replace(free=100 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:
        full: Any = Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        monkeypatch.setattr("jobsearch.store.embedded.engine_files._copy", full)
    with (
        closing(EmbeddedStore(store)) as opened,
        pytest.raises(StoreError, match=rf"which {temporary} has no room for \(1\d\d MB\): make"),
    ):
        opened.count(ALIAS)
    assert list(temporary.iterdir()) == []
