"""Points to and from a Qdrant server, in requests that it accepts."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient, models

from jobsearch.store.base import PointBatch, ScoredPoint, Vectors
from jobsearch.store.vectors import cosine

# Well below the server's limit on one request (32 MB), written as JSON too.
_UPSERT_POINTS = 500
_QUERY_VECTORS = 64


def upload(client: QdrantClient, name: str, ids: Sequence[UUID], points: PointBatch) -> None:
    """Add or replace checked points; they can be found when it returns."""
    for first in range(0, len(ids), _UPSERT_POINTS):
        rows = slice(first, first + _UPSERT_POINTS)
        batch = models.Batch(
            ids=[str(point_id) for point_id in ids[rows]],
            vectors=points.vectors[rows].tolist(),
            payloads=list(points.payloads[rows]),
        )
        client.upsert(name, batch, wait=True)


def nearest(
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
            for answer in client.query_batch_points(name, requests)
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
