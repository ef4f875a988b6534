"""Files that are there when they are complete, or not at all."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from jobsearch.errors import JobSearchError, StoreLocked


@contextmanager
def whole_file(path: Path, instead: str, error: type[JobSearchError]) -> Iterator[Path]:
    """Give a file to write; it takes the place of ``path`` if nothing is raised.

    Args:
        path: of the file; folders above it are made.
        instead: what to do if it cannot be written, e.g. "choose another file".
        error: what is raised then.
    """
    partial = None
    try:
        partial = new_partial(path)
        yield partial
        put_in_place(partial, path)
    except OSError as reason:
        raise error(
            f"{path} cannot be written ({reason.strerror or reason}): {instead}"
        ) from reason
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def new_partial(path: Path) -> Path:
    """Make an empty file beside ``path``, to be written; folders above it are made.

    Others may write into that folder, too: a link planted there is not followed, since the name
    cannot be foreseen, and what has it already is refused.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    partial.touch(exist_ok=False)
    return partial


def put_in_place(partial: Path, path: Path) -> None:
    """Let a file take the place of ``path``: after a crash there is the old one or the new one."""
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder, before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold(path: Path, what: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock file ``path``; the operating system frees it if this process dies.

    ``what`` names the thing held, for the message.

    Raises:
        StoreLocked: it was held by someone else (of this process too) for ``timeout_s``.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_suffix(".holder")
    lock = FileLock(path, timeout=timeout_s)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreLocked(
            f"{what} is held by {_read_note(note)}, waited {timeout_s:g} s: "
            "try again when it is done"
        ) from error
    since = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        # On a full disk it is held all the same.
        with suppress(OSError):
            note.write_text(json.dumps({"pid": os.getpid(), "since": since}), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _read_note(note: Path) -> str:
    try:
        holder = json.loads(note.read_text(encoding="utf-8"))
        return f"process {holder['pid']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        # The holder has not written it yet, or is just letting go.
        return "another process"
