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
    CollectionNotFound,
    StoreError,
    StoreUnavailable,
)
from jobsearch.store.lifecycle import (
    check_alias_exists,
    check_build,
    check_build_name,
    check_count,
    check_droppable,
    check_expected,
    incomplete_build_error,
    no_previous_build_error,
    not_found_error,
    not_writable_error,
    outdated_builds,
    readable,
    taken_over_error,
)
from jobsearch.store.metadata import CollectionMetadata, alias_of, is_build_name
from jobsearch.store.protocol import CollectionInfo, PointBatch, ScoredPoint
from jobsearch.store.ranking import check_points, check_vectors, engine_filter, rank
from jobsearch.store.server.errors import (
    BAD_ANSWER,
    bad_answer_error,
    cause_without,
    is_temporary,
    map_client_error,
    retrying,
)
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

# Uploads at the same time.
_STREAMS = 3
# Metadata key of the store object that builds the collection; resuming the build replaces it.
_BUILDER = "builder"
# The nodes of a cluster learn of a change one after the other.
_AGREEMENT_TRIES, _AGREEMENT_PAUSE_S = 5, 0.2


class ServerStore:
    """A store on a server or in memory. Implements :class:`jobsearch.store.protocol.Store`.

    Use :func:`jobsearch.store.open_store`, which checks the server first.

    Args:
        control: client for all requests without vectors.
        bulk: client for requests with vectors; may be the same object.
        location: URL without secrets, for messages.
        local: whether the client keeps the data in memory, without indexes and search parameters.
        topology: how new collections are distributed over a cluster; values that are left out are
            those of the collection that a build replaces.
        retry_s: how long to retry temporary server failures.
        index_timeout_s: maximum time to build the index after an upload.
        secret: the API key, which messages and logs do not show.
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
        secret: str | None = None,
    ) -> None:
        self._control = control
        self._bulk = bulk
        self._location = location
        self._local = local
        self._retrying = retrying(retry_s, secret)
        self._secret = secret
        self._topology = topology
        self._index_timeout_s = index_timeout_s
        self._builder = uuid.uuid4().hex
        self._building: dict[str, int] = {}
        self._dims: dict[str, int] = {}

    @property
    def location(self) -> str:
        """URL, without secrets."""
        return self._location

    def _send(self, name: str, call: Callable[_P, _R], *args: _P.args, **options: _P.kwargs) -> _R:
        """Call a method of the client, with retries; ``name`` is the collection, for errors."""
        try:
            return self._retrying(call, *args, **options)
        except Exception as error:
            mapped = map_client_error(error, self._location, self._secret)
            if mapped is None and isinstance(error, BAD_ANSWER) and not self._local:
                mapped = bad_answer_error(error, self._location, self._secret)
            if mapped is None:
                raise
            if name and isinstance(mapped, CollectionNotFound):
                mapped = not_found_error(name, self._location, self.aliases())
            raise mapped from cause_without(self._secret, error)

    def describe(self, name: str) -> CollectionInfo:
        """Look up one collection."""
        aliases = self.aliases()
        physical = aliases.get(name, name)
        pointing = tuple(sorted(alias for alias, target in aliases.items() if target == physical))
        return CollectionInfo(physical, pointing, self._metadata(physical), self.count(physical))

    def collections(self) -> list[CollectionInfo]:
        """List the collections that jobsearch created, sorted by physical name."""
        return readable(self._names(), self.describe)

    def leftovers(self) -> list[str]:
        """Nothing: the server deletes a collection as a whole."""
        return []

    def _names(self) -> list[str]:
        listed = self._send("", self._control.get_collections).collections
        return sorted(each.name for each in listed if is_build_name(each.name))

    def aliases(self) -> dict[str, str]:
        """Return a mapping of alias -> physical name for the collections of jobsearch."""
        listed = self._send("", self._control.get_aliases).aliases
        return {a.alias_name: a.collection_name for a in listed if is_build_name(a.collection_name)}

    def _raw_metadata(self, name: str) -> dict[str, Any]:
        info = self._send(name, self._control.get_collection, name)
        return dict(info.config.metadata or {})

    def _metadata(self, name: str) -> CollectionMetadata:
        return CollectionMetadata.from_dict(self._raw_metadata(name))

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
        if np.shape(vectors)[-1:] != (self._dims.get(name),):
            self._dims[name] = self._metadata(name).encoder.dim
        check_vectors(vectors, self._dims[name])
        condition = engine_filter(filters, models)
        params = None if self._local else search_params(exact=exact, filtered=condition is not None)

        def fetch(rows: Vectors, depth: int) -> list[list[ScoredPoint]]:
            return nearest(
                partial(self._send, name), self._bulk, name, rows, depth, condition, params
            )

        return rank(fetch, vectors, limit=limit, score_threshold=score_threshold)

    def count(self, name: str, filters: Filters | None = None) -> int:
        """Count the points that pass the filter; the number is exact."""
        condition = engine_filter(filters, models)
        return self._send(name, self._control.count, name, count_filter=condition, exact=True).count

    def scroll(
        self, name: str, filters: Filters | None = None, *, batch_size: int = 1000
    ) -> Iterator[PointBatch]:
        """Iterate over the points that pass the filter, sorted by id."""
        condition = engine_filter(filters, models)
        dim = self._metadata(name).encoder.dim
        offset: models.ExtendedPointId | None = None
        while True:
            batch, offset = self._send(
                name, read, self._bulk, name, condition, offset, batch_size, dim
            )
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
        """Number of threads that may call :meth:`upsert` at the same time."""
        return 1 if self._local else _STREAMS

    def build_lock(self, alias: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Lock nothing: the builder that swaps the alias second gets ``CollectionChanged``."""
        return nullcontext()

    def create(self, name: str, metadata: CollectionMetadata) -> None:
        """Create an empty collection with its indexes; see :meth:`Store.create`."""
        check_build_name(name)
        if self._send("", self._control.collection_exists, name):
            raise CollectionExists(f"{self._location} already has a collection {name}")
        building = replace(metadata, status="building")
        topology = self._topology.or_else(self._live_topology(alias_of(name)))
        self._send("", make_collection, self._control, name, building, topology)
        self._take_over(name, metadata.encoder.dim)

    def _live_topology(self, alias: str) -> Topology:
        """The topology of the collection that an alias points at."""
        live = self.aliases().get(alias)
        return Topology() if live is None else self._topology_of(live)

    def _topology_of(self, name: str) -> Topology:
        params = self._send(name, self._control.get_collection, name).config.params
        return Topology(
            params.shard_number, params.replication_factor, params.write_consistency_factor
        )

    def _take_over(self, name: str, dim: int) -> None:
        """Become the builder of a new or interrupted build; only the last builder may finish it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        own = {_BUILDER: self._builder, ALIAS: alias_of(name), "created_at": now}
        self._send(name, self._control.update_collection, name, metadata=own)
        if not self._local:
            make_indexes(partial(self._send, name), self._control, name)
        self._building[name] = dim

    def upsert(self, name: str, points: PointBatch) -> None:
        """Add or replace points of a build; see :meth:`Store.upsert`."""
        ids = check_points(points, self._build_dim(name))
        upload(partial(self._send, name), self._bulk, name, ids, points)

    def _build_dim(self, name: str) -> int:
        if name not in self._building:
            metadata = self._metadata(name)
            if metadata.status == "ready":
                raise not_writable_error(name, ready=True)
            self._check_topology(name)
            self._take_over(name, metadata.encoder.dim)
        return self._building[name]

    def _check_topology(self, name: str) -> None:
        """Raise ``StoreError`` if an interrupted build has another topology than this store."""
        begun = self._topology_of(name)
        if self._topology.or_else(begun) != begun:
            raise StoreError(
                f"{name} was begun with {begun.shards} shards, {begun.replicas} replicas and write "
                f"consistency {begun.write_consistency}: give these values for `shards`, "
                "`replicas` and `write_consistency`, or ingest without `resume`"
            )

    def finish(self, name: str, metadata: CollectionMetadata) -> None:
        """Build the index, check the count, store ``metadata``; see :meth:`Store.finish`.

        Raises:
            CollectionChanged: another process has resumed the build.
        """
        dim = self._build_dim(name)
        if not self._local:
            build_graph(
                partial(self._send, name),
                self._control,
                name,
                dim,
                location=self._location,
                timeout_s=self._index_timeout_s,
            )
        check_count(name, self.count(name), metadata.expected_points)
        self._check_builder(name)
        ready = replace(metadata, status="ready").as_dict()
        self._send(name, self._control.update_collection, name, metadata=ready)
        del self._building[name]

    def _check_builder(self, name: str) -> None:
        if self._raw_metadata(name).get(_BUILDER) != self._builder:
            raise taken_over_error(name)

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name; see :meth:`Store.drop`.

        Raises:
            CollectionChanged: this object was building it, and another process has resumed the
                build.
        """
        aliases = self.aliases()
        check_droppable(name, self._names(), aliases, self._location)
        if name in self._building:
            self._check_builder(name)
            del self._building[name]
        self._send(name, self._control.delete_collection, name)

    def swap_alias(self, alias: str, name: str, *, expected: str | None) -> None:
        """Point ``alias`` at ``name`` and delete older builds; see :meth:`Store.swap_alias`.

        The server cannot compare and swap in one request. If two builders check ``expected`` and
        swap at the same moment, the second one wins.
        """
        current = self.aliases().get(alias)
        check_expected(alias, current, expected)
        if not self._is_ready(name):
            raise incomplete_build_error(name)
        if current == name:
            return
        self._move_alias(alias, name, current)
        try:
            self._drop_outdated(alias, name, current or "")
        except StoreError as error:
            # The new build is live; the next swap deletes the remaining ones.
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
        for old in outdated_builds(alias, name, previous, ready):
            self.drop(old)

    def _move_alias(self, alias: str, name: str, current: str | None) -> None:
        previous = {"previous": current or ""}
        self._send(name, self._control.update_collection, name, metadata=previous)
        # Creating an existing alias moves it in one step, so the alias never disappears.
        move = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=name, alias_name=alias)
        )
        try:
            self._send(name, self._control.update_collection_aliases, [move])
        except StoreError as error:
            if not (isinstance(error.__cause__, Exception) and is_temporary(error.__cause__)):
                raise
            raise StoreUnavailable(
                f"{error}. Whether {alias} has moved to {name} is not known: "
                "check with `jobsearch collections list`"
            ) from error

    def rollback(self, alias: str) -> str:
        """Point ``alias`` at the previous build and return that build's name."""
        aliases = self.aliases()
        builds = self._names()
        check_alias_exists(alias, builds, aliases, self._location)
        current = aliases[alias]
        previous = self._metadata(current).previous
        if previous not in builds:
            raise no_previous_build_error(alias, current)
        self._move_alias(alias, previous, current)
        return previous

    def verify(self, name: str) -> list[str]:
        """Check indexes, count, vectors and queries, and return the problems found."""
        if self._metadata(name).status != "ready":
            return ["its build is not complete"]
        info = self._send(name, self._control.get_collection, name)
        missing = [] if self._local else unindexed(info)
        problems = [f"no index of {', '.join(missing)}, so filters are slow"] if missing else []
        return problems + check_build(self, name)
