"""The store on a Qdrant server, and in memory for small tests, through ``qdrant_client``."""

import logging
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

from qdrant_client import QdrantClient, models

from jobsearch.errors import CollectionExists, StoreError, StoreUnavailable
from jobsearch.store.base import PointBatch
from jobsearch.store.builds import (
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
from jobsearch.store.bulk import upload
from jobsearch.store.filters import engine_filter
from jobsearch.store.loading import build_graph, make_collection, make_indexes, unindexed
from jobsearch.store.metadata import CollectionMetadata
from jobsearch.store.names import alias_of
from jobsearch.store.qdrant_reader import QdrantReader
from jobsearch.store.retry import is_passing
from jobsearch.store.snapshot_file import ALIAS
from jobsearch.store.vectors import check_points
from jobsearch.types import Filters, Topology

_logger = logging.getLogger(__name__)

# Requests with points that are under way at a time.
_STREAMS = 3
# Metadata of a build: which store object builds it. One that goes on with it writes its own here.
_BUILDER = "builder"
# Nodes of a cluster learn of a change one after the other.
_AGREEMENT_TRIES, _AGREEMENT_PAUSE_S = 5, 0.2


class QdrantStore(QdrantReader):
    """A store on a server or in memory. Implements :class:`jobsearch.store.base.Store`.

    Use :func:`jobsearch.store.open_store`, which checks the server first.

    Args:
        control, bulk, location, local, retry_s: see :class:`QdrantReader`.
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
        super().__init__(control, bulk, location, local=local, retry_s=retry_s)
        self._topology = topology
        self._index_timeout_s = index_timeout_s
        self._builder = uuid.uuid4().hex
        self._building: dict[str, int] = {}

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
        self._store_metadata(name, replace(metadata, status="ready"))
        del self._building[name]

    def _check_builder(self, name: str) -> None:
        if self._stored(name).get(_BUILDER) != self._builder:
            raise taken_over(name)

    def _store_metadata(self, name: str, metadata: CollectionMetadata) -> None:
        self._ask(name, self._control.update_collection, name, metadata=metadata.as_dict())

    def delete(self, name: str, filters: Filters) -> int:
        """Delete the points that pass the filter; returns their number."""
        if not filters.clauses():
            raise ValueError("an empty filter would delete every title: use drop")
        doomed = self.count(name, filters)
        physical = self.aliases().get(name, name)
        metadata = self._metadata(physical)
        condition = cast(models.Filter, engine_filter(filters, models))
        selector = models.FilterSelector(filter=condition)
        self._ask(name, self._control.delete, physical, points_selector=selector, wait=True)
        if metadata.status == "ready":
            left = replace(metadata, expected_points=self.count(physical))
            self._store_metadata(physical, left)
        return doomed

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
            if not (isinstance(error.__cause__, Exception) and is_passing(error.__cause__)):
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
