"""Points to and from a Qdrant server, in requests that it accepts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient, models

from jobsearch.store.base import PointBatch, ScoredPoint, Vectors
from jobsearch.store.vectors import FILTERED_EF, OVERSAMPLING, cosine

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
