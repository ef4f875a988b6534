"""Checks and rankings that all engines share: engines accept NaN and break ties as they like."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jobsearch.errors import InvalidInput
from jobsearch.store.protocol import PointBatch, ScoredPoint
from jobsearch.types import Clause, Filters
from jobsearch.vectors import Vectors

#: How far the length of a stored or asked vector may be from 1.
UNIT_TOLERANCE = 1e-3

#: Candidates a point asked for that a quantised index gives to be compared by their own vectors.
OVERSAMPLING = 4.0

#: The graph's links a point, and candidates while it is built: Qdrant's defaults.
HNSW_M, HNSW_EF_CONSTRUCT = 16, 100

#: Up to so many points that pass a filter, a query is compared with each of them: the graph, which
#: was made without the filter in mind, would lose many, and this takes a few milliseconds.
FULL_SCAN_POINTS = 20_000

#: Beyond, a filtered query looks at more candidates, and at the neighbours of those that do not
#: pass (ACORN-1, Patel et al. 2024, arXiv:2403.04871).
FILTERED_EF = 384


def full_scan_kilobytes(dim: int) -> int:
    """``FULL_SCAN_POINTS`` as the engine has it: kilobytes of float32 vectors of this length."""
    return FULL_SCAN_POINTS * dim * 4 // 1024


# Points asked for beyond the limit at first, so that a tie at the cut rarely costs a second query.
_SPARE = 8

Fetch = Callable[[Vectors, int], Sequence[list[ScoredPoint]]]


def check_vectors(vectors: Vectors, dim: int) -> None:
    """Raise ``ValueError`` unless ``vectors`` is (n, dim), float32, finite and of unit length."""
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        kind = getattr(vectors, "dtype", type(vectors).__name__)
        raise ValueError(f"vectors must be a float32 array, not {kind}")
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(f"vectors have shape {vectors.shape}, the collection takes (n, {dim})")
    # NaN and infinity fail this comparison too.
    bad = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE))
    if bad.size:
        raise ValueError(
            f"{bad.size} of {len(vectors)} vectors are not finite and of unit length, "
            f"the first at row {bad[0]}: normalise them before they are stored or asked"
        )


def check_points(points: PointBatch, dim: int) -> list[uuid.UUID]:
    """Check a batch before anything of it is written; returns its ids.

    Raises:
        ValueError: for vectors that :func:`check_vectors` refuses, ids that are no UUIDs, or ids,
            vectors and payloads of different numbers.
    """
    sizes = (len(points.ids), len(points.vectors), len(points.payloads))
    if len(set(sizes)) > 1:
        raise ValueError("{} ids, {} vectors and {} payloads do not make points".format(*sizes))
    check_vectors(points.vectors, dim)
    return [uuid.UUID(point_id) for point_id in points.ids]


def rank(
    fetch: Fetch, vectors: Vectors, *, limit: int, score_threshold: float | None
) -> list[list[ScoredPoint]]:
    """The best ``limit`` points a row, sorted by (-score, id), ties at the cut included.

    ``fetch(vectors, depth)`` asks the engine for the ``depth`` best a row. An engine picks at will
    among points of equal score where it cuts, so rows whose cut runs through a tie are asked again,
    deeper. The threshold is applied here, since engines differ on whether it is included.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}, it must be at least 1")
    ranked: list[list[ScoredPoint]] = [[] for _ in vectors]
    pending = np.arange(len(vectors))
    depth = limit + _SPARE
    while pending.size:
        undecided = []
        for row, points in zip(pending, fetch(vectors[pending], depth), strict=True):
            ranked[row] = sorted(points, key=lambda point: (-point.score, point.id))
            if len(points) >= depth and ranked[row][-1].score == ranked[row][limit - 1].score:
                undecided.append(row)
        pending = np.array(undecided, dtype=np.intp)
        depth *= 4
    floor = -np.inf if score_threshold is None else score_threshold
    return [[point for point in row[:limit] if point.score >= floor] for row in ranked]


def cosine(score: float) -> float:
    """A score as the engine rounds it, brought back into [-1, 1]."""
    return min(1.0, max(-1.0, score))


def engine_filter(filters: Filters | None, models: Any) -> Any | None:
    """Build a ``Filter`` of ``models``: ``qdrant_client.models`` or ``qdrant_edge``.

    Both name their classes alike. Values are passed as data, so nothing in them is syntax.
    """
    clauses = filters.clauses() if filters else ()
    return (
        models.Filter(must=[_condition(clause, models) for clause in clauses]) if clauses else None
    )


def _condition(clause: Clause, models: Any) -> Any:
    name, values = clause
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"the {name} {value!r} is not valid Unicode: correct it") from error
    # The engine takes a third longer for a choice among one value.
    if len(values) == 1:
        match = models.MatchValue(value=values[0])
    else:
        match = models.MatchAny(any=list(values))
    return models.FieldCondition(key=name, match=match)
