"""Checks, ranking and search parameters for all engines.

Engines accept NaN and break ties arbitrarily, so vectors are checked and results are sorted here.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jobsearch.errors import InvalidInput, StoreDamaged
from jobsearch.store.protocol import PointBatch, ScoredPoint
from jobsearch.types import REQUIRED_FIELDS, Clause, Filters
from jobsearch.vectors import Vectors

#: Maximum deviation of a stored vector's or query vector's length from 1.
UNIT_TOLERANCE = 1e-3

#: Candidates per requested point that a quantised index returns, to be compared by full vectors.
OVERSAMPLING = 4.0

#: Links per point in the graph, and candidates per point while it is built: Qdrant's defaults.
HNSW_M, HNSW_EF_CONSTRUCT = 16, 100

#: If at most this many points pass a filter, a query is compared with each of them, which takes a
#: few milliseconds. The graph was built without the filter and would miss many of these points.
FULL_SCAN_POINTS = 20_000

#: With more points, a filtered query examines this many candidates, and also the neighbours of
#: points that do not pass (ACORN-1, Patel et al. 2024, arXiv:2403.04871).
FILTERED_EF = 384


def full_scan_kilobytes(dim: int) -> int:
    """Return ``FULL_SCAN_POINTS`` in the engine's unit: kilobytes of float32 vectors."""
    return FULL_SCAN_POINTS * dim * 4 // 1024


# Points requested beyond the limit, so that a tie at the limit rarely needs a second query.
_SPARE = 8

#: Points requested beyond the limit by the second query. Each point costs time and memory, and
#: thousands of job advertisements may have the same title.
MAX_TIED = 256

Fetch = Callable[[Vectors, int], Sequence[list[ScoredPoint]]]


def check_vectors(vectors: Vectors, dim: int) -> None:
    """Raise ``ValueError`` unless ``vectors`` is (n, dim), float32, finite and of unit length."""
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        kind = getattr(vectors, "dtype", type(vectors).__name__)
        raise ValueError(f"vectors must be a float32 array, not {kind}")
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(f"vectors have shape {vectors.shape}, the collection takes (n, {dim})")
    # NaN and infinity fail this comparison, too.
    bad = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE))
    if bad.size:
        raise ValueError(
            f"{bad.size} of {len(vectors)} vectors are not finite and of unit length, "
            f"the first at row {bad[0]}: normalise vectors before storing or querying"
        )


def check_points(points: PointBatch, dim: int) -> list[uuid.UUID]:
    """Check a batch before it is written, and return its ids.

    Raises:
        ValueError: the numbers of ids, vectors and payloads differ, :func:`check_vectors` rejects
            the vectors, or an id is not a UUID.
    """
    sizes = (len(points.ids), len(points.vectors), len(points.payloads))
    if len(set(sizes)) > 1:
        raise ValueError(
            "points need equal numbers: {} ids, {} vectors, {} payloads".format(*sizes)
        )
    check_vectors(points.vectors, dim)
    return [_uuid(point_id) for point_id in points.ids]


def check_payload(collection: str, point_id: str, payload: Mapping[str, str]) -> None:
    """Raise ``StoreDamaged`` unless a stored point has all fields that every title has."""
    if missing := [field for field in REQUIRED_FIELDS if field not in payload]:
        raise StoreDamaged(
            f"point {point_id} of collection {collection} has no {', '.join(missing)}: "
            "ingest the titles again"
        )


def _uuid(point_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(point_id)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"the id {str(point_id)[:50]!r} is no UUID") from error


def rank(
    fetch: Fetch, vectors: Vectors, *, limit: int, score_threshold: float | None
) -> list[list[ScoredPoint]]:
    """Return the best points for each query, sorted by descending score, then by id.

    If several points at the limit have the same score, an engine returns any of them. Such a query
    is repeated once, to know up to ``MAX_TIED`` points beyond the limit and choose by id. If even
    more points are tied, the engine decides which of them are returned. The threshold is applied
    here, since engines differ on whether it is inclusive.

    Args:
        fetch: called with query vectors and a depth; returns the ``depth`` best points per query.
        vectors: query vectors, (n, dim).
        limit: maximum number of points per query.
        score_threshold: lowest score, inclusive.

    Raises:
        ValueError: ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}, it must be at least 1")
    ranked: list[list[ScoredPoint]] = [[] for _ in vectors]
    pending = np.arange(len(vectors))
    for depth in (limit + _SPARE, limit + MAX_TIED):
        if not pending.size:
            break
        undecided = []
        for row, points in zip(pending, fetch(vectors[pending], depth), strict=True):
            ranked[row] = sorted(points, key=lambda point: (-point.score, point.id))
            if len(points) >= depth and ranked[row][-1].score == ranked[row][limit - 1].score:
                undecided.append(row)
        pending = np.array(undecided, dtype=np.intp)
    floor = -np.inf if score_threshold is None else score_threshold
    return [[point for point in row[:limit] if point.score >= floor] for row in ranked]


def cosine(score: float) -> float:
    """Clip an engine's score, which rounding may push out of [-1, 1]."""
    return min(1.0, max(-1.0, score))


def engine_filter(filters: Filters | None, models: Any) -> Any | None:
    """Build the engine's filter; None if there are no conditions.

    Values are passed as data, so they cannot contain syntax.

    Args:
        filters: the conditions.
        models: ``qdrant_client.models`` or ``qdrant_edge``, whose classes have the same names.

    Raises:
        InvalidInput: a value is not valid Unicode.
    """
    if filters is None or not (filters.clauses() or filters.exclusions()):
        return None
    return models.Filter(
        must=[_condition(clause, models) for clause in filters.clauses()],
        must_not=[_condition(clause, models) for clause in filters.exclusions()],
    )


def _condition(clause: Clause, models: Any) -> Any:
    name, values = clause
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"the {name} {value!r} is not valid Unicode: correct it") from error
    # MatchAny with a single value takes a third longer.
    if len(values) == 1:
        match = models.MatchValue(value=values[0])
    else:
        match = models.MatchAny(any=list(values))
    return models.FieldCondition(key=name, match=match)
