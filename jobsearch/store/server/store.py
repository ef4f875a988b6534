"""The store on a Qdrant server, and in memory for small tests, through ``qdrant_client``."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models

from jobsearch.errors import (
    CollectionExists,
    CollectionMismatch,
    CollectionNotFound,
    StoreError,
    StoreUnavailable,
)
from jobsearch.store.lifecycle import (
    check_build,
    check_count,
    check_expected,
    check_new,
    check_unused,
    no_build_before,
    not_building,
    not_complete,
    not_found,
    outdated,
    taken_over,
)
from jobsearch.store.metadata import CollectionMetadata, alias_of, is_ours
from jobsearch.store.protocol import CollectionInfo, PointBatch, ScoredPoint
from jobsearch.store.ranking import check_points, check_vectors, engine_filter, rank
from jobsearch.store.server.errors import is_temporary, retrying, store_error_for
from jobsearch.store.server.requests import (
    build_graph,
    make_collection,
    make_indexes,
    nearest,
    read,
    search_params,
    unindexed,
    upload,
)
from jobsearch.store.server.snapshots import ALIAS
from jobsearch.types import Filters, Topology
from jobsearch.vectors import Vectors

_P = ParamSpec("_P")
_R = TypeVar("_R")
_logger = logging.getLogger(__name__)


# Requests with points that are under way at a time.
_STREAMS = 3
# Metadata of a build: which store object builds it. One that goes on with it writes its own here.
_BUILDER = "builder"
# Nodes of a cluster learn of a change one after the other.
_AGREEMENT_TRIES, _AGREEMENT_PAUSE_S = 5, 0.2


class ServerStore:
    """A store on a server or in memory. Implements :class:`jobsearch.store.protocol.Store`.

    Use :func:`jobsearch.store.open_store`, which checks the server first.

    Args:
        control: the client for everything but points.
        bulk: the client for points; may be the same.
        location: URL without secrets, for messages.
        local: the client keeps the data in memory, where indexes and search parameters mean
            nothing.
        retry_s: how long to go on asking a server that fails in passing.
        topology: how new collections are spread over a cluster.
        index_timeout_s: how long a finished upload may take to be indexed.
    """

    def __init__(
        self,
        control: QdrantClient,
        bulk: QdrantClient,
        location: str,
        *,
        local: bool,
        topology: Topology = Topology(),
        retry_s: float = 30.0,
        index_timeout_s: float = 86_400.0,
    ) -> None:
        self._control = control
        self._bulk = bulk
        self._location = location
        self._local = local
        self._retrying = retrying(retry_s)
        self._topology = topology
        self._index_timeout_s = index_timeout_s
        self._builder = uuid.uuid4().hex
        self._building: dict[str, int] = {}
        self._dims: dict[str, int] = {}

    @property
    def location(self) -> str:
        """URL, without secrets."""
        return self._location

    def _ask(self, name: str, call: Callable[_P, _R], *args: _P.args, **options: _P.kwargs) -> _R:
        """Send a request that concerns ``name``, if need be more than once."""
        try:
            return self._retrying(call, *args, **options)
        except Exception as error:
            mapped = store_error_for(error, self._location)
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

    @property
    def upload_streams(self) -> int:
        """Uploads that may be under way at a time."""
        return 1 if self._local else _STREAMS

    def build_lock(self, alias: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing to hold on a server: the builder that swaps second gets ``CollectionChanged``."""
        return nullcontext()

    def create(self, name: str, metadata: CollectionMetadata) -> None:
        """Make an empty collection with its indexes; see :meth:`Store.create`."""
        check_new(name)
        if self._ask("", self._control.collection_exists, name):
            raise CollectionExists(f"{self._location} has a collection {name} already")
        building = replace(metadata, status="building")
        self._ask("", make_collection, self._control, name, building, self._topology)
        self._begin(name, metadata.encoder.dim)

    def _begin(self, name: str, dim: int) -> None:
        """Take a new or an interrupted build over: only who did so last may finish it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        taken = {_BUILDER: self._builder, ALIAS: alias_of(name), "created_at": now}
        self._ask(name, self._control.update_collection, name, metadata=taken)
        if not self._local:
            make_indexes(partial(self._ask, name), self._control, name)
        self._building[name] = dim

    def upsert(self, name: str, points: PointBatch) -> None:
        """Add or replace points of a build; see :meth:`Store.upsert`."""
        ids = check_points(points, self._build_dim(name))
        upload(partial(self._ask, name), self._bulk, name, ids, points)

    def _build_dim(self, name: str) -> int:
        if name not in self._building:
            metadata = self._metadata(name)
            if metadata.status == "ready":
                raise not_building(name, ready=True)
            self._check_topology(name)
            self._begin(name, metadata.encoder.dim)
        return self._building[name]

    def _check_topology(self, name: str) -> None:
        """Raise ``StoreError`` if a build that was begun is spread in another way than asked."""
        params = self._ask(name, self._control.get_collection, name).config.params
        begun = (params.shard_number, params.replication_factor, params.write_consistency_factor)
        asked = self._topology
        wanted = (asked.shards, asked.replicas, asked.write_consistency)
        if any(w not in (None, b) for w, b in zip(wanted, begun, strict=True)):
            raise StoreError(
                f"{name} was begun with {begun[0]} shards, {begun[1]} replicas and write "
                f"consistency {begun[2]}: go on with those, or ingest without --resume"
            )

    def finish(self, name: str, metadata: CollectionMetadata) -> None:
        """Wait for the index, check the count, store ``metadata``; see :meth:`Store.finish`.

        Raises:
            CollectionChanged: another process has taken the build over meanwhile.
        """
        dim = self._build_dim(name)
        if not self._local:
            build_graph(
                partial(self._ask, name),
                self._control,
                name,
                dim,
                location=self._location,
                timeout_s=self._index_timeout_s,
            )
        check_count(name, self.count(name), metadata.expected_points)
        self._check_builder(name)
        ready = replace(metadata, status="ready").as_dict()
        self._ask(name, self._control.update_collection, name, metadata=ready)
        del self._building[name]

    def _check_builder(self, name: str) -> None:
        if self._stored(name).get(_BUILDER) != self._builder:
            raise taken_over(name)

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name.

        One that this object was building is left alone if another process has taken it over.
        """
        aliases = self.aliases()
        if name not in self._names():
            raise not_found(name, self._location, aliases)
        check_unused(name, aliases)
        if name in self._building:
            self._check_builder(name)
            del self._building[name]
        self._ask(name, self._control.delete_collection, name)

    def swap_alias(self, alias: str, name: str, *, expected: str | None) -> None:
        """Point ``alias`` at ``name`` and drop builds older than the one it replaces.

        A server compares nothing by itself: between the check of ``expected`` and the swap lies
        one request, so of two builders within that moment the second wins.
        """
        current = self.aliases().get(alias)
        check_expected(alias, current, expected)
        if not self._is_ready(name):
            raise not_complete(name)
        if current == name:
            return
        self._point(alias, name, current)
        try:
            self._drop_outdated(alias, name, current or "")
        except StoreError as error:
            # The new build is live, and what is left goes with the next one.
            _logger.warning("%s is live, but older builds could not be deleted: %s", alias, error)

    def _is_ready(self, name: str) -> bool:
        for attempt in range(_AGREEMENT_TRIES):
            if attempt:
                time.sleep(_AGREEMENT_PAUSE_S)
            if self._metadata(name).status == "ready":
                return True
        return False

    def _drop_outdated(self, alias: str, name: str, previous: str) -> None:
        ready = [
            i.name for i in self.collections() if i.metadata.status == "ready" and not i.aliases
        ]
        for old in outdated(alias, name, previous, ready):
            self.drop(old)

    def _point(self, alias: str, name: str, current: str | None) -> None:
        remembered = {"previous": current or ""}
        self._ask(name, self._control.update_collection, name, metadata=remembered)
        # This moves an alias that is there: no moment without it, whatever becomes of the request.
        made = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=name, alias_name=alias)
        )
        try:
            self._ask(name, self._control.update_collection_aliases, [made])
        except StoreError as error:
            if not (isinstance(error.__cause__, Exception) and is_temporary(error.__cause__)):
                raise
            raise StoreUnavailable(
                f"{error}. Whether {alias} has moved to {name} is not known: "
                "`jobsearch collections list` tells"
            ) from error

    def rollback(self, alias: str) -> str:
        """Point ``alias`` back at the build before; returns its name."""
        aliases = self.aliases()
        if alias not in aliases:
            raise not_found(alias, self._location, aliases)
        current = aliases[alias]
        previous = self._metadata(current).previous
        if previous not in self._names():
            raise no_build_before(alias, current)
        self._point(alias, previous, current)
        return previous

    def verify(self, name: str) -> list[str]:
        """Check indexes, count, vectors and searches; returns the problems found."""
        if self._metadata(name).status != "ready":
            return ["its build is not complete"]
        info = self._ask(name, self._control.get_collection, name)
        lacking = [] if self._local else unindexed(info)
        problems = [f"no index of {', '.join(lacking)}, so filters are slow"] if lacking else []
        return problems + check_build(self, name)
