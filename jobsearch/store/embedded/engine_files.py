"""The engine's files, which are mostly holes: checksums, damage, and copies without the holes."""

import errno
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from jobsearch.errors import StoreError

#: Where the engine keeps its points, in the collection's folder.
SEGMENTS = "segments"

#: Path inside the collection's folder -> size in bytes and CRC-32.
Files = Mapping[str, tuple[int, int]]

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


def checksums(folder: Path) -> dict[str, tuple[int, int]]:
    """Sizes and CRC-32s of all files below ``folder``."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {str(path.relative_to(folder)): path for path in files}
    return {name: (path.stat().st_size, _crc32(path)) for name, path in found.items()}


def damage(folder: Path, files: Files) -> list[str]:
    """What differs between the files below ``folder`` and what was sealed; empty if nothing."""
    problems: list[str] = []
    for name, (size, _) in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.stat().st_size != size:
            problems.append(f"{path} has {path.stat().st_size:,} bytes, {size:,} expected")
    problems += _strangers(folder, files)
    # Reading everything pays only if that is all in order.
    return problems or [
        f"{folder / name} was altered (its checksum differs)"
        for name, (_, crc) in files.items()
        if _crc32(folder / name) != crc
    ]


def _strangers(folder: Path, files: Files) -> list[str]:
    """Segments that were not sealed: the engine would answer from them too."""
    sealed = {Path(name).parts[:2] for name in files}
    there = (folder / SEGMENTS).iterdir() if (folder / SEGMENTS).is_dir() else ()
    return [
        f"{path} is not part of it"
        for path in sorted(there)
        if path.is_dir() and path.relative_to(folder).parts not in sealed
    ]


def _crc32(path: Path) -> int:
    """CRC-32 over the blocks that are not all zeros, and where they stand.

    The engine lays its files out in 32 MB pieces that are mostly holes, so they are skipped; a
    copy of the file without holes has the same sum.
    """
    crc = 0
    for start, block in blocks(path):
        crc = zlib.crc32(block, zlib.crc32(start.to_bytes(8, "little"), crc))
    return crc


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
