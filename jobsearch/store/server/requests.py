"""How a collection is loaded into a Qdrant server: indexes of fields, points, and then the graph.

As Qdrant's guide to bulk uploads has it (qdrant.tech/documentation/database-tutorials/bulk-upload):
without a graph (``m=0``) while points come in, since it would be made again and again as the
collection grows.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from jobsearch.errors import StoreError, StoreUnavailable
from jobsearch.store.metadata import CollectionMetadata
from jobsearch.store.protocol import PointBatch, ScoredPoint
from jobsearch.store.ranking import (
    FILTERED_EF,
    HNSW_EF_CONSTRUCT,
    HNSW_M,
    OVERSAMPLING,
    cosine,
    full_scan_kilobytes,
)
from jobsearch.types import FILTER_FIELDS, Quantization, Topology
from jobsearch.vectors import Vectors

# Well below the server's limit on one request (32 MB).
_UPSERT_BYTES = 8 << 20
# In JSON: of one number of a vector (gRPC takes 4), and of the id and the frame of a point.
_NUMBER_BYTES, _FRAME_BYTES = 24, 100
_QUERY_VECTORS = 64

Ask = Callable[..., Any]


def upload(
    ask: Ask, client: QdrantClient, name: str, ids: Sequence[UUID], points: PointBatch
) -> None:
    """Add or replace checked points; they can be found when it returns.

    ``ask`` calls what it is given: a request for as many points as it can hold.
    """
    for rows in _requests(points):
        batch = models.Batch(
            ids=[str(point_id) for point_id in ids[rows]],
            vectors=points.vectors[rows].tolist(),
            payloads=list(points.payloads[rows]),
        )
        ask(client.upsert, name, batch, wait=True)


def _requests(points: PointBatch) -> Iterator[slice]:
    """Runs of points that stay below the limit, one point at least."""
    bare = points.vectors.shape[1] * _NUMBER_BYTES + _FRAME_BYTES
    start = size = 0
    for row, payload in enumerate(points.payloads):
        # At most four bytes a character, and the names of the fields.
        added = bare + 4 * sum(len(key) + len(value) + 4 for key, value in payload.items())
        if size and size + added > _UPSERT_BYTES:
            yield slice(start, row)
            start, size = row, 0
        size += added
    if size:
        yield slice(start, len(points))


def search_params(*, exact: bool, filtered: bool) -> models.SearchParams:
    """How a query is to be answered: by all points, or by the index without losing much."""
    return models.SearchParams(
        exact=exact,
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
        hnsw_ef=FILTERED_EF if filtered else None,
        acorn=models.AcornSearchParams(enable=True) if filtered else None,
    )


def nearest(
    ask: Ask,
    client: QdrantClient,
    name: str,
    vectors: Vectors,
    depth: int,
    condition: models.Filter | None,
    params: models.SearchParams | None,
) -> list[list[ScoredPoint]]:
    """The ``depth`` nearest points to each vector, as the server orders them."""
    found: list[list[ScoredPoint]] = []
    for first in range(0, len(vectors), _QUERY_VECTORS):
        requests = [
            models.QueryRequest(
                query=row, limit=depth, filter=condition, params=params, with_payload=True
            )
            for row in vectors[first : first + _QUERY_VECTORS].tolist()
        ]
        found += [
            [ScoredPoint(str(p.id), cosine(p.score), p.payload or {}) for p in answer.points]
            for answer in ask(client.query_batch_points, name, requests)
        ]
    return found


def read(
    client: QdrantClient,
    name: str,
    condition: models.Filter | None,
    offset: models.ExtendedPointId | None,
    batch_size: int,
) -> tuple[PointBatch, models.ExtendedPointId | None]:
    """Up to ``batch_size`` points from ``offset`` on, sorted by id, and the next offset."""
    records, offset = client.scroll(
        name,
        scroll_filter=condition,
        limit=batch_size,
        offset=offset,
        with_payload=True,
        with_vectors=True,
    )
    batch = PointBatch(
        [str(record.id) for record in records],
        np.array([record.vector for record in records], dtype=np.float32),
        [record.payload or {} for record in records],
    )
    return batch, offset


_POLL_S = 0.2
# A server may take a moment to notice what it has to do, and the nodes of a cluster to agree: so
# many times in a row it has to say that all is done. What waits is not set going at every look.
_GREEN_IN_A_ROW = 3
_POLLS_BETWEEN_NUDGES = 20
_NO_GRAPH = 0
_CONFLICT = 409


def make_collection(
    client: QdrantClient, name: str, metadata: CollectionMetadata, topology: Topology
) -> None:
    """Make an empty collection without a graph, unless it is there.

    It is there if only the answer to an earlier request was lost: names are used once. In a cluster
    it may also come to be between the question and the request, which then is a conflict.
    """
    if client.collection_exists(name):
        return
    try:
        client.create_collection(
            name,
            vectors_config=models.VectorParams(
                size=metadata.encoder.dim,
                distance=models.Distance.COSINE,
                on_disk=metadata.storage.on_disk or None,
            ),
            hnsw_config=models.HnswConfigDiff(m=_NO_GRAPH),
            quantization_config=_server_quantization(metadata.storage.quantization),
            shard_number=topology.shards,
            replication_factor=topology.replicas,
            write_consistency_factor=topology.write_consistency,
            metadata=metadata.as_dict(),
        )
    except UnexpectedResponse as error:
        if error.status_code != _CONFLICT or not client.collection_exists(name):
            raise


def _server_quantization(kind: Quantization) -> models.QuantizationConfig | None:
    """What the index compares at first is kept in memory."""
    if kind == "int8":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if kind == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def make_indexes(ask: Ask, client: QdrantClient, name: str) -> None:
    """Index the fields of filters. Before the data, so that the graph is made with them in mind."""
    for field in FILTER_FIELDS:
        ask(client.create_payload_index, name, field, models.PayloadSchemaType.KEYWORD, wait=True)


def unindexed(info: models.CollectionInfo) -> list[str]:
    """The fields of filters that a collection has no index for."""
    return [field for field in FILTER_FIELDS if field not in info.payload_schema]


def build_graph(
    ask: Ask, client: QdrantClient, name: str, dim: int, *, location: str, timeout_s: float
) -> None:
    """Have the graph made of all points, and wait until the server has nothing left to do.

    Meanwhile it may be too busy to answer what concerns the collection: it is waited for as long as
    it answers at all.

    Raises:
        StoreError: it failed, or took longer than ``timeout_s``.
        StoreUnavailable: the server does not answer.
    """
    end = time.monotonic() + timeout_s

    def patiently(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        while True:
            try:
                return ask(call, *args, **options)
            except StoreUnavailable:
                if time.monotonic() > end:
                    raise
                ask(client.info)

    graph = models.HnswConfigDiff(
        m=HNSW_M, ef_construct=HNSW_EF_CONSTRUCT, full_scan_threshold=full_scan_kilobytes(dim)
    )
    patiently(client.update_collection, name, hnsw_config=graph)
    polls = green = 0
    while green < _GREEN_IN_A_ROW:
        if polls:
            time.sleep(_POLL_S)
        status = patiently(client.get_collection, name).status
        green = green + 1 if status == models.CollectionStatus.GREEN else 0
        if status == models.CollectionStatus.RED or (not green and time.monotonic() > end):
            raise StoreError(
                f"the server at {location} reports {name} as {status.value}: see the server's log"
            )
        if status == models.CollectionStatus.GREY and polls % _POLLS_BETWEEN_NUDGES == 0:
            # Work is left that waits for a change to set it going.
            nothing = models.OptimizersConfigDiff()
            patiently(client.update_collection, name, optimizers_config=nothing)
        polls += 1
