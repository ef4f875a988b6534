"""The folder of an embedded store: manifest, lock, disk space, and errors of the file system."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobsearch.errors import StoreDamaged, StoreError, StoreLocked
from jobsearch.files import COLLECTIONS, LOCKS, MANIFEST, file_lock
from jobsearch.store.embedded.engine_files import find_damage
from jobsearch.store.embedded.manifest import (
    CollectionEntry,
    Manifest,
    read_manifest,
    write_manifest,
)
from jobsearch.store.metadata import is_build_name

# The engine writes through memory maps, and a full disk would kill the process. So each write first
# checks the free space: for the engine's next allocation, and for payload and indexes per point.
_ALLOCATION_BYTES = 32 << 20
_PAYLOAD_BYTES = 2048

# A file that is deleted on a full disk, to make room for a new manifest after a deletion.
_RESERVE = "reserve"
_RESERVE_FILE_BYTES = 1 << 20


class StoreFolder:
    """Reads and changes the files of one embedded store.

    Args:
        path: the folder; it need not exist before the first change.
        lock_timeout_s: how long to wait while another process changes the store.
    """

    def __init__(self, path: Path, lock_timeout_s: float) -> None:
        self.path = path
        self._lock_timeout_s = lock_timeout_s
        self._cached: tuple[object, Manifest] = (None, Manifest())

    def manifest(self) -> Manifest:
        """Return the current manifest; an empty one if there is no store yet.

        Raises:
            StoreDamaged: the manifest is unreadable or missing.
            StoreError: the path is not a store.
        """
        with self.os_errors():
            path = self.path / MANIFEST
            try:
                stat = path.stat()
                state = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if self._cached[0] != state:
                    self._cached = (state, read_manifest(path))
            except (FileNotFoundError, NotADirectoryError):
                self._check_vacant()
                self._cached = (None, Manifest())
            return self._cached[1]

    def _check_vacant(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise StoreError(f"{self.path} is a file: set `store` to a folder or a URL")
        names = {entry.name for entry in self.path.iterdir()}
        if COLLECTIONS in names and LOCKS in names:
            raise StoreDamaged(
                f"{self.path / MANIFEST} is missing: restore it from a backup, or delete the "
                f"folder {self.path} and ingest the titles again"
            )
        if names - {LOCKS, _RESERVE, f"{MANIFEST}.new"}:
            raise StoreError(
                f"{self.path} contains other files and is not a jobsearch store: "
                "set `store` to an empty or a new folder"
            )

    @contextmanager
    def changing(self) -> Iterator[Manifest]:
        """Lock the store for changes and yield its manifest, which :meth:`write` replaces.

        Raises:
            StoreLocked: another process held the lock for ``lock_timeout_s``.
        """
        with self.os_errors():
            self.manifest()
            lock = self.path / LOCKS / "store.lock"
            with file_lock(lock, f"the store {self.path}", self._lock_timeout_s, StoreLocked):
                yield self.manifest()

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest, even on a full disk; call it only within :meth:`changing`."""
        reserve = self.path / _RESERVE
        try:
            write_manifest(self.path / MANIFEST, manifest)
        except OSError as error:
            if error.errno != errno.ENOSPC or not reserve.exists():
                raise
            reserve.unlink()
            write_manifest(self.path / MANIFEST, manifest)
        if not reserve.exists():
            with suppress(OSError):
                reserve.write_bytes(bytes(_RESERVE_FILE_BYTES))

    def lock_path(self, alias: str) -> Path:
        """Return the path of the lock file for builds of an alias."""
        return self.path / LOCKS / f"build-{alias}.lock"

    def shard_path(self, name: str, generation: int) -> Path:
        """Return the engine's folder for one generation of a collection."""
        return self.path / COLLECTIONS / name / str(generation)

    def check_files(self, name: str, entry: CollectionEntry) -> None:
        """Raise ``StoreDamaged`` if the files of a collection differ from the sealed ones."""
        with self.os_errors():
            problems = find_damage(self.shard_path(name, entry.generation), entry.files)
        if problems:
            more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise StoreDamaged(
                f"collection {name} is damaged: {problems[0]}{more}; restore {self.path} from a "
                "backup or ingest the titles again"
            )

    def remove(self, name: str) -> None:
        """Delete the files of a collection that is no longer in the manifest."""
        shutil.rmtree(self.path / COLLECTIONS / name, ignore_errors=True)

    def leftovers(self) -> list[str]:
        """Return the names of the collection folders that are not in the manifest, sorted."""
        folders = [path.name for path in (self.path / COLLECTIONS).glob("*__*") if path.is_dir()]
        # Read after the folders: a new build is in the manifest before it has a folder.
        known = self.manifest().collections
        return sorted(name for name in folders if is_build_name(name) and name not in known)

    def require_space(self, points: int, dim: int) -> None:
        """Raise ``StoreError`` unless the disk has room for this many additional points."""
        needed = points * (dim * 4 + _PAYLOAD_BYTES) + _ALLOCATION_BYTES
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise StoreError(
                f"the disk of {self.path} is almost full: {free >> 20:,} MB are free, "
                f"{needed >> 20:,} MB needed: make room, or set `store` to a folder on another disk"
            )

    @contextmanager
    def os_errors(self) -> Iterator[None]:
        """Turn ``OSError`` into a ``StoreError`` that names the file and the store."""
        try:
            yield
        except OSError as error:
            where = error.filename or self.path
            if error.errno == errno.ENOSPC:
                message = f"the disk is full, {where} could not be written: make room"
            elif error.errno == errno.EROFS:
                message = f"{where} is read-only: set `store` to a folder that can be written to"
            elif isinstance(error, PermissionError):
                message = f"no permission for {where}: set `store` to a folder of your own"
            else:
                message = f"{where} could not be used: {error.strerror or error}"
            raise StoreError(f"{message} (store {self.path})") from error
