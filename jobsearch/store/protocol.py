"""What every engine offers: the ``Store`` protocol and the data that crosses it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jobsearch.store.metadata import CollectionMetadata
from jobsearch.types import Filters
from jobsearch.vectors import Vectors


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Points side by side: ids (UUIDs), vectors (n, dim) float32 of unit length, payloads."""

    ids: Sequence[str]
    vectors: Vectors
    payloads: Sequence[dict[str, str]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A point found. ``score`` is the cosine in [-1, 1]; higher is better."""

    id: str
    score: float
    payload: dict[str, str]


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as it stands.

    Args:
        name: physical name.
        aliases: names that point at it now.
        metadata: what it was made of.
        points: exact number of points stored.
    """

    name: str
    aliases: tuple[str, ...]
    metadata: CollectionMetadata
    points: int


class Store(Protocol):
    """A set of collections of unit vectors with payloads, and aliases that point at them.

    Names given to reading methods may be physical names or aliases. All methods raise
    ``StoreUnavailable`` if the engine cannot be reached, ``StoreLocked`` if another process holds
    what is needed for longer than the store's waiting time, ``StoreDamaged`` if stored files are
    missing or altered, and ``CollectionNotFound`` for a name that is neither.
    """

    @property
    def location(self) -> str:
        """Path or URL, without secrets."""
        ...

    @property
    def upload_streams(self) -> int:
        """Number of threads that may call :meth:`upsert` at a time."""
        ...

    def build_lock(self, alias: str) -> AbstractContextManager[None]:
        """Hold the right to build for ``alias``; a second builder gets ``StoreLocked``."""
        ...

    def create(self, name: str, metadata: CollectionMetadata) -> None:
        """Make an empty collection with its payload indexes (all of ``FILTER_FIELDS``).

        Raises:
            CollectionExists: the name is taken.
        """
        ...

    def upsert(self, name: str, points: PointBatch) -> None:
        """Add or replace points.

        Raises:
            ValueError: before anything is written, for vectors that are not (n, dim) finite
                float32 of unit length, or ids and payloads of another number.
        """
        ...

    def finish(self, name: str, metadata: CollectionMetadata) -> None:
        """End a build: flush, build the vector index, wait until it is ready, store ``metadata``.

        ``metadata.expected_points`` must equal the exact count.

        Raises:
            StoreDamaged: the count differs.
        """
        ...

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection by physical name or alias."""
        ...

    def collections(self) -> list[CollectionInfo]:
        """All collections that jobsearch made, sorted by physical name; others are left alone."""
        ...

    def aliases(self) -> dict[str, str]:
        """Alias -> physical name."""
        ...

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
        """The nearest points to each row of ``vectors`` (n, dim), one list a row.

        Each list is sorted by (-score, id), has at most ``limit`` points, all with
        ``score >= score_threshold``. ``exact`` compares with every point that passes the filter;
        without it the engine may use its approximate index.
        """
        ...

    def count(self, name: str, filters: Filters | None = None) -> int:
        """Exact number of points that pass the filter."""
        ...

    def scroll(
        self, name: str, filters: Filters | None = None, *, batch_size: int = 1000
    ) -> Iterator[PointBatch]:
        """All points that pass the filter, with vectors and payloads, sorted by id."""
        ...

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name.

        Raises:
            StoreError: an alias points at it.
        """
        ...

    def swap_alias(self, alias: str, name: str, *, expected: str | None) -> None:
        """Point ``alias`` at the finished collection ``name``, atomically.

        ``expected`` is the physical name that the alias pointed at when the build began (None: it
        did not exist). The collection remembers it as ``metadata.previous``, for :meth:`rollback`.

        Raises:
            CollectionChanged: the alias points elsewhere by now.
            StoreError: the collection is not ``ready``.
        """
        ...

    def rollback(self, alias: str) -> str:
        """Point ``alias`` back at the build before; returns its name. Twice is an undo.

        Raises:
            CollectionNotFound: there is no alias, or no build before it is left.
        """
        ...

    def verify(self, name: str) -> list[str]:
        """Check a collection thoroughly; returns the problems found, empty if there are none.

        Checks the count, that every stored vector is finite and of unit length, that a sample of
        points is found by its own vector, and (where the engine keeps them) file checksums.
        """
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
