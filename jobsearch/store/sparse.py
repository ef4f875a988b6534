"""Files of the engine, which are mostly holes: read, and copied, without those."""

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from jobsearch.errors import StoreError

_logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 16
_ZEROS = bytes(_BLOCK_BYTES)


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The blocks of a file that are not all zeros, each with the place where it begins."""
    with path.open("rb", buffering=0) as file:
        start = _next_data(file.fileno(), 0)
        while start is not None:
            file.seek(start)
            block = file.read(_BLOCK_BYTES)
            if block != _ZEROS[: len(block)]:
                yield start, block
            start = _next_data(file.fileno(), start + _BLOCK_BYTES)


def _next_data(file: int, start: int) -> int | None:
    """The first block from ``start`` on that may hold data; None if none does."""
    try:
        return os.lseek(file, start, os.SEEK_DATA) // _BLOCK_BYTES * _BLOCK_BYTES
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def may_only_be_read(folder: Path) -> bool:
    """Whether there are files below ``folder`` that this user may read but not write."""
    files = _files(folder)
    return any(os.access(file, os.R_OK) and not os.access(file, os.W_OK) for file in files)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def writable_copy(folder: Path) -> Iterator[Path]:
    """Give a temporary folder with a copy of ``folder`` in it; it is deleted afterwards.

    Files of the copy that are open then last until they are closed, or the process ends.

    Raises:
        StoreError: there is no room for it.
    """
    place = Path(gettempdir())
    # Holes count: where the temporary folder is in memory, reading one fills it.
    needed = sum(file.stat().st_size for file in _files(folder))
    if shutil.disk_usage(place).free < needed:
        raise _no_room(folder, place, needed)
    _logger.info(
        "%s may only be read: searching a copy in %s (%s MB at most)",
        folder,
        place,
        f"{needed >> 20:,}",
    )
    with TemporaryDirectory(prefix="load-", dir=place) as own:
        try:
            _copy(folder, Path(own) / folder.name)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise _no_room(folder, place, needed) from error
            raise
        yield Path(own)


def _no_room(folder: Path, place: Path, needed: int) -> StoreError:
    return StoreError(
        f"{folder} may only be read, so a copy is searched, which {place} has no room for "
        f"({needed >> 20:,} MB): make room there, or set TMPDIR to a folder that has it"
    )


def _copy(folder: Path, target: Path) -> None:
    target.mkdir()
    for path in folder.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            with (target / path.name).open("xb") as copy:
                copy.truncate(path.stat().st_size)
                for start, block in blocks(path):
                    copy.seek(start)
                    copy.write(block)
