"""Atomic file writes, where a reader sees the complete file or no file; and file locks."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from jobsearch.errors import JobSearchError


@contextmanager
def whole_file(path: Path, remedy: str, error: type[JobSearchError]) -> Iterator[Path]:
    """Yield a temporary file to write; on success it replaces ``path``, on failure it is deleted.

    Args:
        path: target file; its parent folders are created.
        remedy: advice in the message if the file cannot be written, e.g. "choose another file".
        error: class of the exception raised in that case.
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
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    partial.touch(exist_ok=False)
    return partial


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
