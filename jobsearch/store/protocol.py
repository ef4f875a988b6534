"""The ``Store`` protocol that every engine implements, and its data types."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jobsearch.store.metadata import CollectionMetadata
from jobsearch.types import Filters
from jobsearch.vectors import Vectors


@dataclass(frozen=True, slots=True)
class PointBatch:
    """A batch of n points.

    Args:
        ids: UUIDs.
        vectors: (n, dim), float32, of unit length.
        payloads: fields of each point.
    """

    ids: Sequence[str]
    vectors: Vectors
    payloads: Sequence[dict[str, str]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A point in a query's result. ``score`` is the cosine in [-1, 1]; higher is better."""

    id: str
    score: float
    payload: dict[str, str]


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """The current state of a collection.

    Args:
        name: physical name.
        aliases: aliases that point at it, sorted.
        metadata: its language, encoder, sources and build.
        points: exact number of stored points.
    """

    name: str
    aliases: tuple[str, ...]
    metadata: CollectionMetadata
    points: int


class Store(Protocol):
    """Collections of unit vectors with payloads, and aliases that point at the collections.

    Methods that read take a physical name or an alias. All methods raise ``StoreUnavailable`` if
    the engine cannot be reached, ``StoreLocked`` if another process holds a needed lock for longer
    than the store's timeout, ``StoreDamaged`` if stored files are missing or altered, and
    ``CollectionNotFound`` for an unknown name.
    """

    @property
    def location(self) -> str:
        """Path or URL, without secrets."""
        ...

    @property
    def upload_streams(self) -> int:
        """Number of threads that may call :meth:`upsert` at the same time."""
        ...

    def build_lock(self, alias: str) -> AbstractContextManager[None]:
        """Lock builds for ``alias``; a second builder gets ``StoreLocked``."""
        ...

    def create(self, name: str, metadata: CollectionMetadata) -> None:
        """Create an empty collection with payload indexes for all ``FILTER_FIELDS``.

        Raises:
            CollectionExists: the name is taken.
            ValueError: the name does not follow the naming scheme of builds.
        """
        ...

    def upsert(self, name: str, points: PointBatch) -> None:
        """Add or replace points of a build.

        Raises:
            ValueError: the vectors are not (n, dim) finite float32 of unit length, an id is not a
                UUID, or the numbers of ids, vectors and payloads differ. Nothing is written.
            StoreError: the build is finished, or this store cannot write to it.
        """
        ...

    def finish(self, name: str, metadata: CollectionMetadata) -> None:
        """Finish a build: flush, build the vector index, wait for it, and store ``metadata``.

        Raises:
            StoreDamaged: the exact number of points differs from ``metadata.expected_points``.
        """
        ...

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection by physical name or alias."""
        ...

    def collections(self) -> list[CollectionInfo]:
        """List the collections that jobsearch created, sorted by physical name.

        Collections that cannot be read are left out, with a warning.
        """
        ...

    def leftovers(self) -> list[str]:
        """Names of deleted collections whose files are still there; :meth:`drop` deletes them.

        A process that was killed while it deleted a collection leaves them.
        """
        ...

    def aliases(self) -> dict[str, str]:
        """Return a mapping of alias -> physical name."""
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
        """Find the points nearest to each query vector.

        Args:
            name: collection or alias.
            vectors: query vectors, (n, dim), float32, of unit length.
            limit: maximum number of points per query.
            filters: conditions that the points must meet.
            exact: compare each query with every point that passes the filter; otherwise the engine
                may use its approximate index.
            score_threshold: lowest score of a returned point, inclusive.

        Returns:
            One list per query, sorted by descending score; ties are sorted by id. If more than 256
            points beyond ``limit`` tie with the last one, the engine decides which of the tied
            points are returned.

        Raises:
            ValueError: the vectors do not fit the collection, or ``limit`` is below 1.
            InvalidInput: a value of the filter is not valid Unicode.
        """
        ...

    def count(self, name: str, filters: Filters | None = None) -> int:
        """Count the points that pass the filter; the number is exact."""
        ...

    def scroll(
        self, name: str, filters: Filters | None = None, *, batch_size: int = 1000
    ) -> Iterator[PointBatch]:
        """Iterate over the points that pass the filter, with vectors and payloads, sorted by id."""
        ...

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name, or the files of one of :meth:`leftovers`.

        Raises:
            CollectionInUse: an alias points at it.
        """
        ...

    def swap_alias(self, alias: str, name: str, *, expected: str | None) -> None:
        """Point ``alias`` at the finished collection ``name``, atomically.

        The collection that the alias pointed at before is stored as ``metadata.previous``, for
        :meth:`rollback`; older finished builds for the alias are deleted.

        Args:
            alias: the alias.
            name: physical name of the collection.
            expected: physical name that the alias pointed at when the build began; None if the
                alias did not exist.

        Raises:
            CollectionChanged: the alias points at another collection than ``expected``.
            StoreError: the collection is not ``ready``.
        """
        ...

    def rollback(self, alias: str) -> str:
        """Point ``alias`` at the previous build and return that build's name.

        A second rollback undoes the first.

        Raises:
            CollectionNotFound: the alias or its previous build does not exist.
        """
        ...

    def verify(self, name: str) -> list[str]:
        """Check a collection and return the problems found; an empty list means none.

        Checks that the number of points is as expected, that every stored vector is finite and of
        unit length, that a query with a stored vector finds its point (for a sample of points), and
        the checksums of files if the engine keeps them.
        """
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
