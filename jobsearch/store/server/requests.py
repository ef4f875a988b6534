"""Requests to a Qdrant server: build a collection, upload points, and read them.

A build creates the payload indexes first, then uploads the points, then builds the graph. During
the upload there is no graph (``m=0``), since the server would rebuild it repeatedly as the
collection grows (qdrant.tech/documentation/database-tutorials/bulk-upload).
"""

import math
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
# Size in JSON of one number of a vector (gRPC needs 4 bytes), and of a point's id and syntax.
_NUMBER_BYTES, _POINT_BYTES = 24, 100
_QUERY_VECTORS = 64

#: Calls a method of the client, with retries and mapped errors.
Send = Callable[..., Any]


def upload(
    send: Send, client: QdrantClient, name: str, ids: Sequence[UUID], points: PointBatch
) -> None:
    """Add or replace points that are already checked, in as few requests as their size allows.

    The points can be found when this function returns.
    """
    for rows in _split(points):
        batch = models.Batch(
            ids=[str(point_id) for point_id in ids[rows]],
            vectors=points.vectors[rows].tolist(),
            payloads=list(points.payloads[rows]),
        )
        send(client.upsert, name, batch, wait=True)


def _split(points: PointBatch) -> Iterator[slice]:
    """Split a batch into requests below the size limit, with at least one point each."""
    without_payload = points.vectors.shape[1] * _NUMBER_BYTES + _POINT_BYTES
    start = size = 0
    for row, payload in enumerate(points.payloads):
        # At most four bytes per character of names and values, and four characters of syntax.
        added = without_payload + 4 * sum(
            len(key) + len(value) + 4 for key, value in payload.items()
        )
        if size and size + added > _UPSERT_BYTES:
            yield slice(start, row)
            start, size = row, 0
        size += added
    if size:
        yield slice(start, len(points))


def search_params(*, exact: bool, filtered: bool) -> models.SearchParams:
    """Return the parameters of an exact query, or of an index query with high recall."""
    return models.SearchParams(
        exact=exact,
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
        hnsw_ef=FILTERED_EF if filtered else None,
        acorn=models.AcornSearchParams(enable=True) if filtered else None,
    )


def nearest(
    send: Send,
    client: QdrantClient,
    name: str,
    vectors: Vectors,
    depth: int,
    condition: models.Filter | None,
    params: models.SearchParams | None,
) -> list[list[ScoredPoint]]:
    """Return the ``depth`` nearest points to each vector, in the server's order."""
    found: list[list[ScoredPoint]] = []
    for first in range(0, len(vectors), _QUERY_VECTORS):
        requests = [
            models.QueryRequest(
                query=row, limit=depth, filter=condition, params=params, with_payload=True
            )
            for row in vectors[first : first + _QUERY_VECTORS].tolist()
        ]
        found += send(_query, client, name, requests)
    return found


def _query(
    client: QdrantClient, name: str, requests: Sequence[models.QueryRequest]
) -> list[list[ScoredPoint]]:
    answers = client.query_batch_points(name, requests)
    if len(answers) != len(requests):
        raise ValueError(f"it has {len(answers)} results for {len(requests)} queries")
    return [
        [ScoredPoint(str(p.id), _checked_score(p), _payload(p)) for p in answer.points]
        for answer in answers
    ]


def _checked_score(point: models.ScoredPoint) -> float:
    if not math.isfinite(point.score):
        raise ValueError(f"point {point.id} has the score {point.score}")
    return cosine(point.score)


def _payload(point: models.ScoredPoint | models.Record) -> dict[str, str]:
    """The payload of a point; ``ValueError`` if it has no title, or values that are not text."""
    payload = point.payload or {}
    if "title" not in payload:
        raise ValueError(f"point {point.id} has no title in its payload")
    if not all(isinstance(value, str) for value in payload.values()):
        raise ValueError(f"point {point.id} has a payload that is not text")
    return payload


def read(
    client: QdrantClient,
    name: str,
    condition: models.Filter | None,
    offset: models.ExtendedPointId | None,
    batch_size: int,
    dim: int,
) -> tuple[PointBatch, models.ExtendedPointId | None]:
    """Return up to ``batch_size`` points from ``offset`` on, sorted by id, and the next offset."""
    records, offset = client.scroll(
        name,
        scroll_filter=condition,
        limit=batch_size,
        offset=offset,
        with_payload=True,
        with_vectors=True,
    )
    vectors = np.array([record.vector for record in records], dtype=np.float32)
    # An empty batch has no second dimension.
    if records and (vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all()):
        raise ValueError(f"its vectors are not {dim} finite numbers each")
    batch = PointBatch(
        [str(record.id) for record in records],
        vectors,
        [_payload(record) for record in records],
    )
    return batch, offset


_POLL_S = 0.2
# A server may need a moment to notice new work, and the nodes of a cluster to agree, so it must
# report several times in a row that it is done. Only some polls trigger a waiting optimiser.
_GREEN_IN_A_ROW = 3
_POLLS_BETWEEN_NUDGES = 20
_NO_GRAPH = 0
_CONFLICT = 409


def make_collection(
    client: QdrantClient, name: str, metadata: CollectionMetadata, topology: Topology
) -> None:
    """Create an empty collection without a graph, unless it exists.

    Names are used once, so an existing collection means that the answer to an earlier request was
    lost. In a cluster, the collection may also appear between the check and the request, which then
    fails with a conflict.
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


def _server_quantization(kind: Quantization | None) -> models.QuantizationConfig | None:
    """Build the quantisation config; the quantised vectors stay in memory."""
    if kind == "int8":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if kind == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def make_indexes(send: Send, client: QdrantClient, name: str) -> None:
    """Create the payload indexes. They must exist before the graph, which is built to use them."""
    for field in FILTER_FIELDS:
        send(client.create_payload_index, name, field, models.PayloadSchemaType.KEYWORD, wait=True)


def unindexed(info: models.CollectionInfo) -> list[str]:
    """Return the filter fields without a payload index."""
    return [field for field in FILTER_FIELDS if field not in info.payload_schema]


def build_graph(
    send: Send, client: QdrantClient, name: str, dim: int, *, location: str, timeout_s: float
) -> None:
    """Build the graph over all points, and wait until the server has finished.

    While it works, the server may be too busy for requests about the collection. Waiting continues
    as long as the server answers at all.

    Raises:
        StoreError: the server failed, or needed more than ``timeout_s``.
        StoreUnavailable: the server does not answer.
    """
    end = time.monotonic() + timeout_s

    def send_patiently(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        while True:
            try:
                return send(call, *args, **options)
            except StoreUnavailable:
                if time.monotonic() > end:
                    raise
                send(client.info)

    graph = models.HnswConfigDiff(
        m=HNSW_M, ef_construct=HNSW_EF_CONSTRUCT, full_scan_threshold=full_scan_kilobytes(dim)
    )
    send_patiently(client.update_collection, name, hnsw_config=graph)
    polls = green = 0
    while green < _GREEN_IN_A_ROW:
        if polls:
            time.sleep(_POLL_S)
        status = send_patiently(client.get_collection, name).status
        green = green + 1 if status == models.CollectionStatus.GREEN else 0
        if status == models.CollectionStatus.RED or (not green and time.monotonic() > end):
            raise StoreError(
                f"the server at {location} reports {name} as {status.value}: see the server's log"
            )
        if status == models.CollectionStatus.GREY and polls % _POLLS_BETWEEN_NUDGES == 0:
            # The optimiser waits for a change of the collection: send an empty one.
            no_change = models.OptimizersConfigDiff()
            send_patiently(client.update_collection, name, optimizers_config=no_change)
        polls += 1
