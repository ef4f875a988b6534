"""The embedded store: Qdrant's own engine, a folder a collection, a manifest beside them."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from jobsearch.errors import CollectionExists, StoreError
from jobsearch.files import hold
from jobsearch.store.embedded.engine_files import checksums, damage
from jobsearch.store.embedded.folder import StoreFolder
from jobsearch.store.embedded.manifest import CollectionEntry, Manifest, rolled_back, swapped
from jobsearch.store.embedded.process import ShardWriter
from jobsearch.store.embedded.shard import Shard
from jobsearch.store.lifecycle import (
    check_build,
    check_count,
    check_new,
    check_unused,
    not_building,
    not_complete,
    not_found,
)
from jobsearch.store.metadata import CollectionMetadata, alias_of, check_name
from jobsearch.store.protocol import CollectionInfo, PointBatch, ScoredPoint
from jobsearch.store.ranking import check_points, check_vectors, rank
from jobsearch.types import Filters
from jobsearch.vectors import Vectors

#: Collections up to this size get no approximate index: comparing a query with 50,000 points of
#: 512 dimensions takes a few milliseconds and loses nothing, while building an index takes longer
#: than everything else in an ingest.
EXACT_SCAN_MAX_POINTS = 50_000


class EmbeddedStore:
    """A store in a folder. Implements :class:`jobsearch.store.protocol.Store`.

    Any number of processes may read while one builds. A reader finds out by itself that an alias
    was moved, at its next call.

    Args:
        path: the folder; made when something is first stored.
        lock_timeout_s: how long to wait for a process that changes the store.
        build_timeout_s: how long to wait for a process that builds for the same alias.
        exact_scan_max_points: collections up to this size get no approximate index.
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
        """The folder, as it was given."""
        return str(self._folder.path)

    def _find(self, name: str) -> tuple[str, CollectionEntry]:
        manifest = self._folder.manifest()
        physical = manifest.aliases.get(name, name)
        if physical not in manifest.collections:
            raise not_found(name, self.location, manifest.aliases)
        return physical, manifest.collections[physical]

    def _reader(self, name: str) -> Shard | ShardWriter:
        with self._opening:
            found = self._find(name)
            while found[0] not in self._building:
                try:
                    return self._load(*found)
                except StoreError:
                    # Another process may just have replaced it and taken its files away.
                    replaced = self._find(name)
                    if replaced == found:
                        raise
                    found = replaced
            return self._building[found[0]]

    def _load(self, name: str, entry: CollectionEntry) -> Shard:
        if name in self._open:
            return self._open[name]
        if not entry.ready:
            raise not_complete(name)
        # A damaged file can abort the process inside the engine, so the engine sees none.
        self._folder.check_files(name, entry)
        return self._open_sealed(name, entry)

    def _open_sealed(self, name: str, entry: CollectionEntry) -> Shard:
        metadata = entry.parsed()
        with self._folder.os_errors():
            shard = Shard(
                self._folder.shard(name, entry.generation),
                metadata.encoder.dim,
                exact_up_to=self._exact_up_to,
                storage=metadata.storage,
                new=False,
            )
        there = self._folder.manifest().collections
        if name not in there:
            # Its files were taken away meanwhile, and the engine opens what is left as if it were
            # all. As long as the manifest has it, none is.
            shard.close()
            raise StoreError(f"collection {name} was replaced while it was opened: try again")
        # Let go of what is no more; threads that still read it keep it alive.
        self._open = {n: held for n, held in self._open.items() if n in there}
        self._open[name] = shard
        return shard

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection; the points of a build elsewhere count once it is finished."""
        physical, entry = self._find(name)
        metadata = entry.parsed()
        if physical in self._building:
            points = self._building[physical].count()
        else:
            points = metadata.expected_points if entry.ready else 0
        with_alias = sorted(a for a, target in self.aliases().items() if target == physical)
        return CollectionInfo(physical, tuple(with_alias), metadata, points)

    def collections(self) -> list[CollectionInfo]:
        """All collections, sorted by physical name."""
        return [self.describe(name) for name in sorted(self._folder.manifest().collections)]

    def aliases(self) -> dict[str, str]:
        """Alias -> physical name."""
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
        """The nearest points to each row; see :meth:`Store.query`."""
        shard = self._reader(name)
        check_vectors(vectors, shard.dim)
        return rank(
            lambda rows, depth: shard.query(rows, depth, filters, exact=exact),
            vectors,
            limit=limit,
            score_threshold=score_threshold,
        )

    def count(self, name: str, filters: Filters | None = None) -> int:
        """Exact number of points that pass the filter."""
        return self._reader(name).count(filters)

    def scroll(
        self, name: str, filters: Filters | None = None, *, batch_size: int = 1000
    ) -> Iterator[PointBatch]:
        """All points that pass the filter, sorted by id."""
        return self._reader(name).scroll(filters, batch_size)

    @property
    def upload_streams(self) -> int:
        """One: the engine has one process."""
        return 1

    @contextmanager
    def build_lock(self, alias: str) -> Iterator[None]:
        """Hold the right to build for ``alias``; clears away what a killed build left."""
        path = self._folder.lock_path(check_name(alias))
        with ExitStack() as held:
            with self._folder.os_errors():
                self._folder.manifest()
                held.enter_context(hold(path, f"a build of {alias}", self._build_timeout_s))
            with self._folder.changing() as manifest:
                self._clear_leftovers(manifest, alias)
            self._locked.add(alias)
            try:
                yield
            finally:
                self._locked.remove(alias)
                # Opened to check the build: an ingest of many languages would keep them all mapped.
                self._open = {n: held for n, held in self._open.items() if alias_of(n) != alias}

    def _clear_leftovers(self, manifest: Manifest, alias: str) -> None:
        dead = [
            name
            for name, entry in manifest.collections.items()
            if alias_of(name) == alias and not entry.ready
        ]
        kept = manifest.without_collections(*dead)
        if dead:
            self._forget(kept, dead)
        for name in self._folder.leftovers(kept, f"{alias}__"):
            self._folder.remove(name)

    def create(self, name: str, metadata: CollectionMetadata) -> None:
        """Make an empty collection; see :meth:`Store.create`."""
        check_new(name)
        dim = metadata.encoder.dim
        with self._folder.changing() as manifest:
            if name in manifest.collections or name in manifest.aliases:
                raise CollectionExists(f"{self.location} has a collection {name} already")
            self._folder.require_space(0, dim)
            entry = CollectionEntry(replace(metadata, status="building").as_dict())
            self._folder.write(manifest.with_collection(name, entry))
            try:
                path = self._folder.shard(name, entry.generation)
                self._building[name] = ShardWriter(
                    path, dim, exact_up_to=self._exact_up_to, storage=metadata.storage
                )
            except BaseException:
                self._forget(manifest, [name])
                raise

    def upsert(self, name: str, points: PointBatch) -> None:
        """Add or replace points of a collection that this object is building."""
        shard = self._own_build(name)
        check_points(points, shard.dim)
        with self._folder.os_errors():
            self._folder.require_space(len(points), shard.dim)
            shard.upsert(points)

    def _own_build(self, name: str) -> ShardWriter:
        # Asked first, since another builder may have cleared it away.
        _, entry = self._find(name)
        if name not in self._building:
            raise not_building(name, ready=entry.ready)
        return self._building[name]

    def finish(self, name: str, metadata: CollectionMetadata) -> None:
        """End a build: index, flush, close, seal; see :meth:`Store.finish`."""
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
                raise not_found(name, self.location, manifest.aliases)
            self._folder.write(manifest.with_collection(name, entry))
            with self._opening:
                self._open_sealed(name, entry)

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name.

        Raises:
            StoreLocked: another process is building it.
        """
        with self._folder.changing() as manifest, ExitStack() as held:
            if name not in manifest.collections:
                raise not_found(name, self.location, manifest.aliases)
            check_unused(name, manifest.aliases)
            alias = alias_of(name)
            if not manifest.collections[name].ready and alias not in self._locked:
                path = self._folder.lock_path(alias)
                held.enter_context(hold(path, f"a build of {alias}", 0))
            self._forget(manifest.without_collections(name), [name])

    def _forget(self, manifest: Manifest, names: list[str]) -> None:
        self._folder.write(manifest)
        for name in names:
            if name in self._building:
                self._building.pop(name).close()
            self._open.pop(name, None)
            self._folder.remove(name)

    def swap_alias(self, alias: str, name: str, *, expected: str | None) -> None:
        """Point ``alias`` at ``name`` and drop builds older than the one it replaces."""
        check_name(alias)
        with self._folder.changing() as manifest:
            moved, old = swapped(manifest, alias, name, expected=expected, location=self.location)
            self._forget(moved, old)

    def rollback(self, alias: str) -> str:
        """Point ``alias`` back at the build before, if its files are whole; returns its name."""
        with self._folder.changing() as manifest:
            moved, previous = rolled_back(manifest, alias, location=self.location)
            self._folder.check_files(previous, moved.collections[previous])
            self._folder.write(moved)
        return previous

    def verify(self, name: str) -> list[str]:
        """Check files, counts, vectors and searches; returns the problems found."""
        physical, entry = self._find(name)
        if not entry.ready:
            return ["its build is not complete"]
        files = damage(self._folder.shard(physical, entry.generation), entry.files)
        return files or check_build(self, physical)

    def close(self) -> None:
        """Release the files; a build that was not finished is lost."""
        shards: list[Shard | ShardWriter] = [*self._building.values(), *self._open.values()]
        self._building, self._open = {}, {}
        for shard in shards:
            shard.close()


def _seal(shard: ShardWriter, metadata: CollectionMetadata) -> CollectionEntry:
    shard.seal()
    ready = replace(metadata, status="ready")
    return CollectionEntry(ready.as_dict(), files=checksums(shard.path))
