"""A read-only store: it belongs to another user, or its file system is mounted read-only."""

import errno
import os
import shutil
import signal
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

# Root ignores file modes unless it drops the capability CAP_DAC_OVERRIDE (1) before the exec.
_OBEY_MODES = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.argv[1], "
    "sys.argv[1:])"
)
_CLI = "from jobsearch.cli import main; main(prog_name='jobsearch')"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store with one finished build; its modes are restored afterwards."""
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


def make_read_only(store: Path, *, files: bool) -> None:
    for path in (store, *store.rglob("*")):
        if files or path.is_dir():
            path.chmod(0o500 if path.is_dir() else 0o400)


def run(temporary: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that obeys file modes, even as root."""
    if sys.platform != "linux":
        pytest.skip("only on Linux can root drop the capability")
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", _OBEY_MODES, sys.executable, *words],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)},
        input="\n", capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("files", [True, False], ids=["all", "folders"])
def test_a_read_only_store_is_searched(store: Path, temporary: Path, files: bool) -> None:
    make_read_only(store, files=files)
    before = set(store.rglob("*"))
    reader = Path(__file__).with_name("isolated_reader.py")
    done = run(temporary, str(reader), str(store), ALIAS)
    assert done.stdout == "whole\n"
    assert list(temporary.iterdir()) == []
    assert set(store.rglob("*")) == before, "temporary files are deleted"


def test_the_copy_is_logged_once(store: Path, temporary: Path) -> None:
    make_read_only(store, files=True)
    [segments] = store.glob("collections/*/0/segments")
    size = sum(path.stat().st_size for path in segments.rglob("*") if path.is_file()) >> 20
    log = f"{segments} is read-only: searching a copy in {temporary} (at most {size} MB)\n"
    done = run(temporary, "-c", _CLI, "collections", "verify", ALIAS, "--store", str(store))
    assert (done.returncode, done.stderr) == (0, log)


def test_a_read_only_store_is_not_changed(store: Path, temporary: Path) -> None:
    make_read_only(store, files=True)
    line = ("collections", "rollback", ALIAS, "--store", str(store))
    done = run(temporary, "-c", _CLI, *line)
    assert done.returncode == 1
    assert f"error: no permission for {store}/locks/store.lock: set `--store`" in done.stderr


def test_a_read_only_mount(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = OSError(errno.EROFS, os.strerror(errno.EROFS), str(store / "locks" / "store.lock"))
    monkeypatch.setattr("jobsearch.store.embedded.folder.file_lock", Mock(side_effect=refused))
    with closing(EmbeddedStore(store)) as opened:
        assert opened.count(ALIAS) == COUNT
        with pytest.raises(StoreError, match=r"store\.lock is read-only: set `store` to a folder"):
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
        pytest.raises(
            StoreError, match=rf"{temporary} has no room for the copy \(1\d\d MB\): make"
        ),
    ):
        opened.count(ALIAS)
    assert list(temporary.iterdir()) == []


def test_the_copy_of_a_killed_search_is_deleted_by_the_next(store: Path, temporary: Path) -> None:
    make_read_only(store, files=True)
    script = (
        "import os, signal; from pathlib import Path; import qdrant_edge as edge\n"
        "class Killing:\n"
        "    @staticmethod\n"
        "    def load(*_):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "import jobsearch.store.embedded.shard as shard\n"
        "shard.edge.EdgeShard = Killing\n"
    )
    search = ("collections", "verify", ALIAS, "--store", str(store))
    killed = run(temporary, "-c", script + _CLI, *search)
    assert killed.returncode == -signal.SIGTERM
    [left] = temporary.iterdir()
    assert left.name.startswith("jobsearch-load-")
    assert run(temporary, "-c", _CLI, *search).returncode == 0
    assert list(temporary.iterdir()) == []
