"""Atomic file writes, where a reader sees the complete file or no file; and file locks.

Only regular files are replaced, and nothing is written into an embedded store but by the store.
"""

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from jobsearch.errors import JobSearchError

#: Names in the folder of an embedded store.
MANIFEST, COLLECTIONS, LOCKS = "manifest.json", "collections", "locks"


@contextmanager
def whole_file(path: Path, remedy: str, error: type[JobSearchError]) -> Iterator[Path]:
    """Yield a temporary file to write; on success it replaces ``path``, on failure it is deleted.

    Args:
        path: target file; its parent folders are created.
        remedy: advice in the message if the file cannot be written, e.g. "choose another file".
        error: class of the exception raised in that case, and if :func:`check_target` refuses the
            file, before anything is written.
    """
    partial = None
    try:
        partial = new_partial(path)
        yield partial
        put_in_place(partial, path)
    except OSError as reason:
        raise error(f"{path} cannot be written ({reason.strerror or reason}): {remedy}") from reason
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def new_partial(path: Path) -> Path:
    """Create an empty temporary file beside ``path``, and its parent folders.

    The folder may be writable by other users. The name is random, so nobody can plant a link under
    it in advance, and an existing file with that name is refused.

    Raises:
        OSError: the file cannot be created, or :func:`check_target` refuses ``path``.
    """
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    partial.touch(exist_ok=False)
    return partial


def check_target(path: Path) -> None:
    """Refuse to replace ``path`` unless it is a regular file, or missing, outside every store.

    Renaming a file over a device, a named pipe or a link would destroy it: as root, a snapshot
    written to ``/dev/full`` or ``/dev/stdout`` would break the machine.

    Raises:
        OSError: with the reason as its ``strerror``.
    """
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "a device or another special file"
            raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
    parent = Path(os.path.realpath(path.parent))
    for folder in (parent, *parent.parents):
        if _is_store(folder):
            raise OSError(errno.EINVAL, f"it is inside the store {folder}", str(path))


def _is_store(folder: Path) -> bool:
    """Whether a folder is an embedded store, complete or damaged."""
    known = (folder / MANIFEST).is_file() or (folder / COLLECTIONS).is_dir()
    return known and (folder / LOCKS).is_dir()


def delete_file(path: Path) -> None:
    """Delete a file that was written whole, if it exists.

    Raises:
        OSError: it cannot be deleted, or :func:`check_target` refuses ``path``.
    """
    check_target(path)
    path.unlink(missing_ok=True)


def put_in_place(partial: Path, path: Path) -> None:
    """Replace ``path`` by ``partial``; after a crash the old or the new file is there."""
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(
    path: Path, subject: str, timeout_s: float, error: type[JobSearchError]
) -> Iterator[None]:
    """Hold the lock file ``path``; the operating system releases it if this process dies.

    Args:
        path: lock file; its parent folders are created.
        subject: name of the locked thing, for the message, e.g. "the store /data".
        timeout_s: seconds to wait for the lock.
        error: class of the exception raised if another thread or process still holds it then.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_suffix(".holder")
    lock = FileLock(path, timeout=timeout_s)
    try:
        lock.acquire()
    except Timeout as timeout:
        raise error(
            f"{subject} is locked by {_read_holder(note)} (waited {timeout_s:g} s): "
            "try again when that process is done"
        ) from timeout
    since = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        # The note only serves the message: on a full disk the lock holds without it.
        with suppress(OSError):
            note.write_text(json.dumps({"pid": os.getpid(), "since": since}), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _read_holder(note: Path) -> str:
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        return f"process {holder['pid']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        # The holder has not written its note yet, or has just deleted it.
        return "another process"
