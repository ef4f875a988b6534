"""What is read from the embedded store: sealed collections, and the builds of this process."""

import threading
from collections.abc import Iterator
from pathlib import Path

from jobsearch.errors import StoreError
from jobsearch.store.base import CollectionInfo, PointBatch, ScoredPoint, Vectors
from jobsearch.store.builds import not_complete, not_found
from jobsearch.store.folder import StoreFolder
from jobsearch.store.manifest import Entry
from jobsearch.store.shard import Shard
from jobsearch.store.vectors import check_vectors, rank
from jobsearch.store.writer import ShardWriter
from jobsearch.types import Filters


class EdgeReader:
    """The half of :class:`jobsearch.store.base.Store` that changes nothing.

    Args:
        path: the folder.
        lock_timeout_s: how long to wait for a process that changes the store.
        exact_up_to: collections up to this size have no approximate index.
    """

    def __init__(self, path: Path, lock_timeout_s: float, exact_up_to: int) -> None:
        self._folder = StoreFolder(path, lock_timeout_s)
        self._exact_up_to = exact_up_to
        self._building: dict[str, ShardWriter] = {}
        self._open: dict[str, tuple[Entry, Shard]] = {}
        self._opening = threading.RLock()

    @property
    def location(self) -> str:
        """The folder, as it was given."""
        return str(self._folder.path)

    def _find(self, name: str) -> tuple[str, Entry]:
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

    def _load(self, name: str, entry: Entry) -> Shard:
        if name in self._open and self._open[name][0].generation == entry.generation:
            return self._open[name][1]
        if not entry.ready:
            raise not_complete(name)
        # A damaged file can abort the process inside the engine, so the engine sees none.
        self._folder.check_files(name, entry)
        return self._open_sealed(name, entry)

    def _open_sealed(self, name: str, entry: Entry) -> Shard:
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
        if name not in there or there[name].generation != entry.generation:
            # Its files were taken away meanwhile, and the engine opens what is left as if it were
            # all. As long as the manifest has it, none is.
            shard.close()
            raise StoreError(f"collection {name} was replaced while it was opened: try again")
        # Let go of what is no more; threads that still read it keep it alive.
        self._open = {n: held for n, held in self._open.items() if n in there}
        self._open[name] = (entry, shard)
        return shard

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection; the points of a build elsewhere count once it is finished."""
        physical, entry = self._find(name)
        metadata = entry.parsed()
        if physical in self._building:
            points = self._building[physical].count()
        else:
            points = metadata.expected_points if entry.ready else 0
        pointing = sorted(a for a, target in self.aliases().items() if target == physical)
        return CollectionInfo(physical, tuple(pointing), metadata, points)

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
