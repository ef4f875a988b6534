"""The embedded store: Qdrant's engine as a library, one folder per collection, and a manifest."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from jobsearch.errors import CollectionExists, StoreError, StoreLocked
from jobsearch.files import file_lock
from jobsearch.store.embedded.engine_files import checksums, find_damage
from jobsearch.store.embedded.folder import StoreFolder
from jobsearch.store.embedded.manifest import (
    CollectionEntry,
    Manifest,
    with_alias_rolled_back,
    with_alias_swapped,
)
from jobsearch.store.embedded.process import ShardWriter
from jobsearch.store.embedded.shard import Shard
from jobsearch.store.lifecycle import (
    check_build,
    check_build_name,
    check_count,
    check_droppable,
    incomplete_build_error,
    not_found_error,
    not_writable_error,
    readable,
)
from jobsearch.store.metadata import CollectionMetadata, alias_of, check_name
from jobsearch.store.protocol import CollectionInfo, PointBatch, ScoredPoint
from jobsearch.store.ranking import check_points, check_vectors, rank
from jobsearch.types import Filters
from jobsearch.vectors import Vectors

#: Collections up to this number of points get no approximate index: comparing a query with 50,000
#: points of 512 dimensions takes a few milliseconds and is exact, while building an index takes
#: longer than the rest of an ingest.
EXACT_SCAN_MAX_POINTS = 50_000


class EmbeddedStore:
    """A store in a folder. Implements :class:`jobsearch.store.protocol.Store`.

    Any number of processes may read while one builds. If an alias moves, a reader notices at its
    next call.

    Args:
        path: the folder; it is created with the first build.
        lock_timeout_s: how long to wait while another process changes the store.
        build_timeout_s: how long to wait while another process builds for the same alias.
        exact_scan_max_points: collections up to this number of points get no approximate index.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        lock_timeout_s: float = 10.0,
        build_timeout_s: float = 2.0,
        exact_scan_max_points: int = EXACT_SCAN_MAX_POINTS,
    ) -> None:
        self._folder = StoreFolder(Path(path), lock_timeout_s)
        self._build_timeout_s = build_timeout_s
        self._exact_up_to = exact_scan_max_points
        self._building: dict[str, ShardWriter] = {}
        self._locked: set[str] = set()
        self._open: dict[str, Shard] = {}
        self._opening = threading.RLock()

    @property
    def location(self) -> str:
        """Path of the folder, as passed to the constructor."""
        return str(self._folder.path)

    def _find(self, name: str) -> tuple[str, CollectionEntry]:
        manifest = self._folder.manifest()
        physical = manifest.aliases.get(name, name)
        if physical not in manifest.collections:
            raise not_found_error(name, self.location, manifest.aliases)
        return physical, manifest.collections[physical]

    def _reader(self, name: str) -> Shard | ShardWriter:
        with self._opening:
            physical, entry = self._find(name)
            while physical not in self._building:
                try:
                    return self._load(physical, entry)
                except StoreError:
                    # Another process may just have replaced the build and deleted its files.
                    current = self._find(name)
                    if current == (physical, entry):
                        raise
                    physical, entry = current
            return self._building[physical]

    def _load(self, name: str, entry: CollectionEntry) -> Shard:
        if name in self._open:
            return self._open[name]
        if not entry.ready:
            raise incomplete_build_error(name)
        # A damaged file can make the engine abort the process, so files are checked first.
        self._folder.check_files(name, entry)
        return self._open_sealed(name, entry)

    def _open_sealed(self, name: str, entry: CollectionEntry) -> Shard:
        metadata = entry.parsed()
        with self._folder.os_errors():
            shard = Shard(
                self._folder.shard_path(name, entry.generation),
                metadata.encoder.dim,
                exact_up_to=self._exact_up_to,
                storage=metadata.storage,
                new=False,
            )
        collections = self._folder.manifest().collections
        if name not in collections:
            # Another process is deleting the files, and the engine opens the remaining ones without
            # an error. Files are only deleted after the manifest no longer lists the collection.
            shard.close()
            raise StoreError(f"collection {name} was replaced while it was opened: try again")
        # Forget deleted collections; threads that still read one keep it alive.
        self._open = {n: opened for n, opened in self._open.items() if n in collections}
        self._open[name] = shard
        return shard

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection; an unfinished build of another process has 0 points."""
        physical, entry = self._find(name)
        metadata = entry.parsed()
        if physical in self._building:
            points = self._building[physical].count()
        else:
            points = metadata.expected_points if entry.ready else 0
        pointing = sorted(a for a, target in self.aliases().items() if target == physical)
        return CollectionInfo(physical, tuple(pointing), metadata, points)

    def collections(self) -> list[CollectionInfo]:
        """List all collections, sorted by physical name."""
        return readable(sorted(self._folder.manifest().collections), self.describe)

    def leftovers(self) -> list[str]:
        """Names of deleted collections whose folders are still there; see :meth:`Store.drop`."""
        return self._folder.leftovers()

    def aliases(self) -> dict[str, str]:
        """Return a mapping of alias -> physical name."""
        return dict(self._folder.manifest().aliases)

    def query(
        self,
        name: str,
        vectors: Vectors,
        *,
        limit: int,
        filters: Filters | None = None,
        exact: bool = False,
        score_threshold: float | None = None,
    ) -> list[list[ScoredPoint]]:
        """Find the points nearest to each query vector; see :meth:`Store.query`."""
        shard = self._reader(name)
        check_vectors(vectors, shard.dim)
        return rank(
            lambda rows, depth: shard.query(rows, depth, filters, exact=exact),
            vectors,
            limit=limit,
            score_threshold=score_threshold,
        )

    def count(self, name: str, filters: Filters | None = None) -> int:
        """Count the points that pass the filter; the number is exact."""
        return self._reader(name).count(filters)

    def scroll(
        self, name: str, filters: Filters | None = None, *, batch_size: int = 1000
    ) -> Iterator[PointBatch]:
        """Iterate over the points that pass the filter, sorted by id."""
        return self._reader(name).scroll(filters, batch_size)

    @property
    def upload_streams(self) -> int:
        """1, since all builds share one child process."""
        return 1

    @contextmanager
    def build_lock(self, alias: str) -> Iterator[None]:
        """Lock builds for ``alias``, and delete leftovers of killed builds."""
        check_name(alias)
        with ExitStack() as locks:
            with self._folder.os_errors():
                self._folder.manifest()
                locks.enter_context(self._alias_lock(alias, self._build_timeout_s))
            with self._folder.changing() as manifest:
                self._clear_leftovers(manifest, alias)
            self._locked.add(alias)
            try:
                yield
            finally:
                self._locked.remove(alias)
                # Forget the build, which was opened for its check: an ingest of many languages
                # would keep the files of all of them mapped.
                self._open = {n: shard for n, shard in self._open.items() if alias_of(n) != alias}

    def _alias_lock(self, alias: str, timeout_s: float) -> AbstractContextManager[None]:
        path = self._folder.lock_path(alias)
        return file_lock(path, f"the build of {alias}", timeout_s, StoreLocked)

    def _clear_leftovers(self, manifest: Manifest, alias: str) -> None:
        dead = [
            name
            for name, entry in manifest.collections.items()
            if alias_of(name) == alias and not entry.ready
        ]
        kept = manifest.without_collections(*dead)
        if dead:
            self._forget(kept, dead)
        for name in self._folder.leftovers():
            if alias_of(name) == alias:
                self._folder.remove(name)

    def create(self, name: str, metadata: CollectionMetadata) -> None:
        """Create an empty collection; see :meth:`Store.create`."""
        check_build_name(name)
        dim = metadata.encoder.dim
        with self._folder.changing() as manifest:
            if name in manifest.collections or name in manifest.aliases:
                raise CollectionExists(f"{self.location} already has a collection {name}")
            self._folder.require_space(0, dim)
            entry = CollectionEntry(replace(metadata, status="building").as_dict())
            self._folder.write(manifest.with_collection(name, entry))
            try:
                path = self._folder.shard_path(name, entry.generation)
                self._building[name] = ShardWriter(
                    path, dim, exact_up_to=self._exact_up_to, storage=metadata.storage
                )
            except BaseException:
                self._forget(manifest, [name])
                raise

    def upsert(self, name: str, points: PointBatch) -> None:
        """Add or replace points of a build of this object; see :meth:`Store.upsert`."""
        shard = self._own_build(name)
        check_points(points, shard.dim)
        with self._folder.os_errors():
            self._folder.require_space(len(points), shard.dim)
            shard.upsert(points)

    def _own_build(self, name: str) -> ShardWriter:
        # Look it up first: another builder may have deleted the collection.
        _, entry = self._find(name)
        if name not in self._building:
            raise not_writable_error(name, ready=entry.ready)
        return self._building[name]

    def finish(self, name: str, metadata: CollectionMetadata) -> None:
        """Finish a build and record the checksums of its files; see :meth:`Store.finish`."""
        shard = self._own_build(name)
        counted = shard.count()
        check_count(name, counted, metadata.expected_points)
        with self._folder.os_errors():
            if counted > self._exact_up_to:
                self._folder.require_space(counted, shard.dim)
            del self._building[name]
            entry = _seal(shard, metadata)
        with self._folder.changing() as manifest:
            if name not in manifest.collections:
                raise not_found_error(name, self.location, manifest.aliases)
            self._folder.write(manifest.with_collection(name, entry))
            with self._opening:
                self._open_sealed(name, entry)

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name.

        Raises:
            StoreLocked: another process is building it, or about to publish it.
        """
        with self._folder.changing() as manifest, ExitStack() as locks:
            if name not in manifest.collections and name in self._folder.leftovers():
                self._folder.remove(name)
                return
            check_droppable(name, manifest.collections, manifest.aliases, self.location)
            alias = alias_of(name)
            if not manifest.was_live(name) and alias not in self._locked:
                locks.enter_context(self._alias_lock(alias, timeout_s=0))
            self._forget(manifest.without_collections(name), [name])

    def _forget(self, manifest: Manifest, names: list[str]) -> None:
        self._folder.write(manifest)
        for name in names:
            if name in self._building:
                self._building.pop(name).close()
            self._open.pop(name, None)
            self._folder.remove(name)

    def swap_alias(self, alias: str, name: str, *, expected: str | None) -> None:
        """Point ``alias`` at ``name`` and delete older builds; see :meth:`Store.swap_alias`."""
        check_name(alias)
        with self._folder.changing() as manifest:
            changed, old = with_alias_swapped(
                manifest, alias, name, expected=expected, location=self.location
            )
            self._forget(changed, old)

    def rollback(self, alias: str) -> str:
        """Point ``alias`` at the previous build, if its files are intact; return its name."""
        with self._folder.changing() as manifest:
            changed, previous = with_alias_rolled_back(manifest, alias, location=self.location)
            self._folder.check_files(previous, changed.collections[previous])
            self._folder.write(changed)
        return previous

    def verify(self, name: str) -> list[str]:
        """Check files, counts, vectors and queries, and return the problems found."""
        physical, entry = self._find(name)
        if not entry.ready:
            return ["its build is not complete"]
        damaged = find_damage(self._folder.shard_path(physical, entry.generation), entry.files)
        return damaged or check_build(self, physical)

    def close(self) -> None:
        """Release the files; unfinished builds of this object are lost."""
        shards: list[Shard | ShardWriter] = [*self._building.values(), *self._open.values()]
        self._building, self._open = {}, {}
        for shard in shards:
            shard.close()


def _seal(shard: ShardWriter, metadata: CollectionMetadata) -> CollectionEntry:
    shard.seal()
    ready = replace(metadata, status="ready")
    return CollectionEntry(ready.as_dict(), files=checksums(shard.path))
