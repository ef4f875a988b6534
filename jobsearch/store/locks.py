"""File locks that say who holds them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from jobsearch.errors import StoreLocked


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
