"""The folder of an embedded store: its manifest, its lock, its space, and what may go wrong."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobsearch.errors import StoreDamaged, StoreError
from jobsearch.files import hold
from jobsearch.store.embedded.engine_files import damage
from jobsearch.store.embedded.manifest import (
    COLLECTIONS,
    LOCKS,
    MANIFEST,
    CollectionEntry,
    Manifest,
    read_manifest,
    write_manifest,
)

# The engine writes through memory maps, where a full disk ends the process; so space is asked for
# beforehand: what the engine lays out at once, and what payloads and their indexes take a point.
_RESERVE_BYTES = 32 << 20
_PAYLOAD_BYTES = 2048

# Given up on a full disk, where not even a list of less could be written otherwise.
_RESERVE = "reserve"
_RESERVE_FILE_BYTES = 1 << 20


class StoreFolder:
    """Reads and changes the files of one embedded store.

    Args:
        path: the folder; it need not exist before the first change.
        lock_timeout_s: how long to wait for another process that changes the store.
    """

    def __init__(self, path: Path, lock_timeout_s: float) -> None:
        self.path = path
        self._lock_timeout_s = lock_timeout_s
        self._read: tuple[object, Manifest] = (None, Manifest())

    def manifest(self) -> Manifest:
        """What the store holds now; nothing if there is no store yet.

        Raises:
            StoreDamaged: the manifest is unreadable or lost.
            StoreError: the path is something else than a store.
        """
        with self.os_errors():
            path = self.path / MANIFEST
            try:
                stat = path.stat()
                state = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if self._read[0] != state:
                    self._read = (state, read_manifest(path))
            except (FileNotFoundError, NotADirectoryError):
                self._check_vacant()
                self._read = (None, Manifest())
            return self._read[1]

    def _check_vacant(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise StoreError(f"{self.path} is a file: give --store a folder or a URL")
        names = {entry.name for entry in self.path.iterdir()}
        if COLLECTIONS in names and LOCKS in names:
            raise StoreDamaged(
                f"{self.path / MANIFEST} is missing: restore it from a backup, or delete the "
                f"folder {self.path} and ingest the titles again"
            )
        if names - {LOCKS, _RESERVE, f"{MANIFEST}.new"}:
            raise StoreError(
                f"{self.path} holds other files and is no store of jobsearch: "
                "give --store an empty or a new folder"
            )

    @contextmanager
    def changing(self) -> Iterator[Manifest]:
        """Hold the store's lock; gives the manifest, which :meth:`write` may then replace.

        Raises:
            StoreLocked: another process held it for too long.
        """
        with self.os_errors():
            self.manifest()
            lock = self.path / LOCKS / "store.lock"
            with hold(lock, f"the store {self.path}", self._lock_timeout_s):
                yield self.manifest()

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest, on a full disk too; only within :meth:`changing`."""
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
        """The lock of the builds for an alias."""
        return self.path / LOCKS / f"build-{alias}.lock"

    def shard(self, name: str, generation: int) -> Path:
        """The engine's folder for one generation of a collection."""
        return self.path / COLLECTIONS / name / str(generation)

    def check_files(self, name: str, entry: CollectionEntry) -> None:
        """Raise ``StoreDamaged`` unless the files of a collection are as they were sealed."""
        with self.os_errors():
            problems = damage(self.shard(name, entry.generation), entry.files)
        if problems:
            more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise StoreDamaged(
                f"collection {name} is damaged: {problems[0]}{more}; restore {self.path} from a "
                "backup or ingest the titles again"
            )

    def remove(self, name: str) -> None:
        """Delete the files of a collection that the manifest lacks by now."""
        shutil.rmtree(self.path / COLLECTIONS / name, ignore_errors=True)

    def leftovers(self, manifest: Manifest, prefix: str) -> list[str]:
        """Folders of collections whose names begin with ``prefix`` that the manifest lacks."""
        there = (self.path / COLLECTIONS).glob(f"{prefix}*")
        return [path.name for path in there if path.name not in manifest.collections]

    def require_space(self, points: int, dim: int) -> None:
        """Raise ``StoreError`` unless this many points more fit on the disk."""
        needed = points * (dim * 4 + _PAYLOAD_BYTES) + _RESERVE_BYTES
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise StoreError(
                f"the disk of {self.path} is almost full: {free >> 20:,} MB are free, "
                f"{needed >> 20:,} MB needed: make room or give --store a folder on another disk"
            )

    @contextmanager
    def os_errors(self) -> Iterator[None]:
        """Turn the operating system's refusals into errors that name the store."""
        try:
            yield
        except OSError as error:
            where = error.filename or self.path
            if error.errno == errno.ENOSPC:
                message = f"the disk is full, {where} could not be written: make room"
            elif error.errno == errno.EROFS:
                message = f"{where} is read-only: give --store a folder that can be written to"
            elif isinstance(error, PermissionError):
                message = f"no permission for {where}: give --store a folder of your own"
            else:
                message = f"{where} could not be used: {error.strerror or error}"
            raise StoreError(f"{message} (store {self.path})") from error
