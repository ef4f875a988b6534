"""The engine's files, which are mostly holes: checksums, damage, and sparse copies."""

import errno
import fcntl
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from jobsearch.errors import StoreError

#: Folder with the engine's points, inside the collection's folder.
SEGMENTS = "segments"

#: Path inside the collection's folder -> (size in bytes, CRC-32).
Files = Mapping[str, tuple[int, int]]

_logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 16
_ZEROS = bytes(_BLOCK_BYTES)

# Begins the names of folders that processes make to open a collection.
_PRIVATE = "jobsearch-load-"


def nonzero_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Iterate over the blocks of a file that are not all zeros, as (offset, content)."""
    with path.open("rb", buffering=0) as file:
        start = _next_data(file.fileno(), 0)
        while start is not None:
            file.seek(start)
            block = file.read(_BLOCK_BYTES)
            if block != _ZEROS[: len(block)]:
                yield start, block
            start = _next_data(file.fileno(), start + _BLOCK_BYTES)


def _next_data(file: int, start: int) -> int | None:
    """Return the offset of the next block, at or after ``start``, with data; None at the end."""
    try:
        return os.lseek(file, start, os.SEEK_DATA) // _BLOCK_BYTES * _BLOCK_BYTES
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def checksums(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the size and the CRC-32 of every file below ``folder``, by its path inside it."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, _crc32(path))
        for path in sorted(_files(folder))
    }


def find_damage(folder: Path, files: Files) -> list[str]:
    """Compare the files below ``folder`` with the sealed ``files`` and return the differences."""
    problems: list[str] = []
    for name, (size, _) in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.stat().st_size != size:
            problems.append(f"{path} has {path.stat().st_size:,} bytes, {size:,} expected")
    problems += _unknown_segments(folder, files)
    # Checksums need the content of all files, so the cheap checks come first.
    return problems or [
        f"{folder / name} was altered (its checksum differs)"
        for name, (_, crc) in files.items()
        if _crc32(folder / name) != crc
    ]


def _unknown_segments(folder: Path, files: Files) -> list[str]:
    """Report segments that were not sealed: the engine would search them, too."""
    sealed = {Path(name).parts[:2] for name in files}
    segments = (folder / SEGMENTS).iterdir() if (folder / SEGMENTS).is_dir() else ()
    return [
        f"{path} is not part of the collection"
        for path in sorted(segments)
        if path.is_dir() and path.relative_to(folder).parts not in sealed
    ]


def _crc32(path: Path) -> int:
    """Return the CRC-32 over the offsets and contents of the blocks that are not all zeros.

    The engine allocates its files in pieces of 32 MB that are mostly holes, so blocks of zeros are
    skipped. A copy of the file without holes has the same checksum.
    """
    crc = 0
    for start, block in nonzero_blocks(path):
        crc = zlib.crc32(block, zlib.crc32(start.to_bytes(8, "little"), crc))
    return crc


def has_read_only_files(folder: Path) -> bool:
    """Whether this user may read but not write any of the files below ``folder``."""
    files = _files(folder)
    return any(os.access(file, os.R_OK) and not os.access(file, os.W_OK) for file in files)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``, and delete it afterwards.

    A process that is killed leaves its folder. Each process therefore holds a lock on its own
    folder, and first deletes the folders in ``parent`` that nobody holds.
    """
    clear_abandoned(parent)
    while True:
        folder = Path(mkdtemp(prefix=_PRIVATE, dir=parent))
        # Until it is locked, another process may take it for abandoned and delete it.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.is_dir():
                break
            os.close(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def clear_abandoned(parent: Path) -> None:
    """Delete the folders of :func:`private_folder` whose processes have ended."""
    for folder in parent.glob(f"{_PRIVATE}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextmanager
def writable_copy(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that contains a copy of ``folder``, and delete it afterwards.

    Files of the copy that are still open remain usable until they are closed.

    Raises:
        StoreError: the disk with temporary files has no room for the copy.
    """
    temporary = Path(gettempdir())
    clear_abandoned(temporary)
    # Holes count: in a temporary folder in memory, reading a hole allocates it.
    needed = sum(file.stat().st_size for file in _files(folder))
    if shutil.disk_usage(temporary).free < needed:
        raise _no_room_error(folder, temporary, needed)
    _logger.info(
        "%s is read-only: searching a copy in %s (at most %s MB)",
        folder,
        temporary,
        f"{needed >> 20:,}",
    )
    with private_folder(temporary) as private:
        try:
            _copy(folder, private / folder.name)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise _no_room_error(folder, temporary, needed) from error
            raise
        yield private


def _no_room_error(folder: Path, temporary: Path, needed: int) -> StoreError:
    return StoreError(
        f"{folder} is read-only and must be copied to be searched, but {temporary} has no room for "
        f"the copy ({needed >> 20:,} MB): make room, or set TMPDIR to a folder on another disk"
    )


def _copy(folder: Path, target: Path) -> None:
    target.mkdir()
    for path in folder.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            with (target / path.name).open("xb") as copy:
                copy.truncate(path.stat().st_size)
                for start, block in nonzero_blocks(path):
                    copy.seek(start)
                    copy.write(block)
