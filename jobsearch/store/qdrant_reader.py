"""What is read from a Qdrant server, or from memory, through ``qdrant_client``."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models

from jobsearch.errors import CollectionMismatch, CollectionNotFound
from jobsearch.store.base import CollectionInfo, PointBatch, ScoredPoint, Vectors
from jobsearch.store.builds import not_found
from jobsearch.store.bulk import nearest, read, search_params
from jobsearch.store.filters import engine_filter
from jobsearch.store.metadata import CollectionMetadata
from jobsearch.store.names import is_ours
from jobsearch.store.refusals import translate
from jobsearch.store.retry import persistent
from jobsearch.store.vectors import check_vectors, rank
from jobsearch.types import Filters

_P = ParamSpec("_P")
_R = TypeVar("_R")
_logger = logging.getLogger(__name__)


class QdrantReader:
    """The half of :class:`jobsearch.store.base.Store` that changes nothing.

    Args:
        control: the client for everything but points.
        bulk: the client for points; may be the same.
        location: URL without secrets, for messages.
        local: the client keeps the data in memory, where indexes and search parameters mean
            nothing.
        retry_s: how long to go on asking a server that fails in passing.
    """

    def __init__(
        self,
        control: QdrantClient,
        bulk: QdrantClient,
        location: str,
        *,
        local: bool,
        retry_s: float = 30.0,
    ) -> None:
        self._control = control
        self._bulk = bulk
        self._location = location
        self._local = local
        self._persistent = persistent(retry_s)
        self._dims: dict[str, int] = {}

    @property
    def location(self) -> str:
        """URL, without secrets."""
        return self._location

    def _ask(self, name: str, call: Callable[_P, _R], *args: _P.args, **options: _P.kwargs) -> _R:
        """Send a request that concerns ``name``, if need be more than once."""
        try:
            return self._persistent(call, *args, **options)
        except Exception as error:
            mapped = translate(error, self._location)
            if mapped is None:
                raise
            if name and isinstance(mapped, CollectionNotFound):
                mapped = not_found(name, self._location, self.aliases())
            raise mapped from error

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection."""
        aliases = self.aliases()
        physical = aliases.get(name, name)
        pointing = tuple(sorted(alias for alias, target in aliases.items() if target == physical))
        return CollectionInfo(physical, pointing, self._metadata(physical), self.count(physical))

    def collections(self) -> list[CollectionInfo]:
        """The collections that jobsearch made, sorted by physical name."""
        found = []
        for name in self._names():
            try:
                found.append(self.describe(name))
            except CollectionNotFound:
                # Dropped by somebody else since the names were asked for.
                continue
            except CollectionMismatch as error:
                _logger.warning("%s is left out: %s", name, error)
        return found

    def _names(self) -> list[str]:
        found = self._ask("", self._control.get_collections).collections
        return sorted(each.name for each in found if is_ours(each.name))

    def aliases(self) -> dict[str, str]:
        """Alias -> physical name, of jobsearch's collections."""
        found = self._ask("", self._control.get_aliases).aliases
        return {a.alias_name: a.collection_name for a in found if is_ours(a.collection_name)}

    def _stored(self, name: str) -> dict[str, Any]:
        found = self._ask(name, self._control.get_collection, name)
        return dict(found.config.metadata or {})

    def _metadata(self, name: str) -> CollectionMetadata:
        return CollectionMetadata.from_dict(self._stored(name))

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
        if np.shape(vectors)[-1:] != (self._dims.get(name),):
            self._dims[name] = self._metadata(name).encoder.dim
        check_vectors(vectors, self._dims[name])
        condition = engine_filter(filters, models)
        params = None if self._local else search_params(exact=exact, filtered=condition is not None)

        def fetch(rows: Vectors, depth: int) -> list[list[ScoredPoint]]:
            return nearest(
                partial(self._ask, name), self._bulk, name, rows, depth, condition, params
            )

        return rank(fetch, vectors, limit=limit, score_threshold=score_threshold)

    def count(self, name: str, filters: Filters | None = None) -> int:
        """Exact number of points that pass the filter."""
        condition = engine_filter(filters, models)
        return self._ask(name, self._control.count, name, count_filter=condition, exact=True).count

    def scroll(
        self, name: str, filters: Filters | None = None, *, batch_size: int = 1000
    ) -> Iterator[PointBatch]:
        """All points that pass the filter, sorted by id."""
        condition = engine_filter(filters, models)
        offset: models.ExtendedPointId | None = None
        while True:
            batch, offset = self._ask(name, read, self._bulk, name, condition, offset, batch_size)
            if batch.ids:
                yield batch
            if offset is None:
                return

    def close(self) -> None:
        """Release the connections."""
        self._control.close()
        if self._bulk is not self._control:
            self._bulk.close()
