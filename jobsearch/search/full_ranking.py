"""Rankings computed from stored vectors instead of by the engine.

An engine returns every point of a ranking with its payload. For whole corpora, or for thousands of
queries at once, reading the vectors once and multiplying matrices is far faster. Both ways give the
same order, ties included.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobsearch.search.grouping import Fetch
from jobsearch.store.protocol import PointBatch, ScoredPoint, Store
from jobsearch.types import Filters
from jobsearch.vectors import Vectors

# Scores computed at a time: 16 MB in float32.
_CHUNK_SCORES = 1 << 22


@dataclass(frozen=True, slots=True)
class Ranking:
    """The points for one query, best first.

    Args:
        places: positions of the points in their batch.
        scores: their cosines in [-1, 1], float32, descending.
    """

    places: npt.NDArray[np.intp]
    scores: Vectors


def read_points(store: Store, names: Sequence[str], filters: Filters | None = None) -> PointBatch:
    """All points of some collections that pass the filter, sorted by id.

    Args:
        store: holds the collections.
        names: one or several collections that the same encoder made.
        filters: conditions on the titles.

    Raises:
        StoreError: a collection cannot be read.
    """
    batches = [batch for name in names for batch in store.scroll(name, filters)]
    if not batches:
        dim = store.describe(names[0]).metadata.encoder.dim
        return PointBatch([], np.empty((0, dim), dtype=np.float32), [])
    ids = [point_id for batch in batches for point_id in batch.ids]
    vectors = np.concatenate([batch.vectors for batch in batches])
    payloads = [payload for batch in batches for payload in batch.payloads]
    if len(names) > 1:  # Each collection is sorted, the concatenation is not.
        order = sorted(range(len(ids)), key=ids.__getitem__)
        ids, payloads = [ids[place] for place in order], [payloads[place] for place in order]
        vectors = vectors[order]
    return PointBatch(ids, vectors, payloads)


def exact_rankings(
    points: PointBatch, queries: Vectors, *, depth: int | None = None
) -> Iterator[Ranking]:
    """Rank ``points`` for each row of ``queries``, in the order of the rows.

    Args:
        points: sorted by id, as :func:`read_points` returns them.
        queries: (n, dim) float32, rows of unit length.
        depth: length of each ranking; all points if None.

    Yields:
        Rankings by (-score, id), as ``Store.query(exact=True)`` orders them.
    """
    for scores in exact_scores(points, queries):
        yield best(scores, depth)


def exact_scores(points: PointBatch, queries: Vectors) -> Iterator[Vectors]:
    """Cosines of all ``points`` for each row of ``queries``: (number of points,) float32 a query.

    Equal vectors always get equal scores.
    """
    # A matrix product may round equal rows differently depending on their position, which would
    # order ties at random. So all copies of a vector get the score of the first.
    copies, firsts = _copies(points.vectors)
    size = max(1, _CHUNK_SCORES // max(1, len(points)))
    for start in range(0, len(queries), size):
        products = queries[start : start + size] @ points.vectors.T
        np.clip(products, -1.0, 1.0, out=products)
        products[:, copies] = products[:, firsts]
        yield from products


def best(scores: Vectors, depth: int | None = None) -> Ranking:
    """The ``depth`` highest scores, or all, in descending order; ties by position."""
    candidates = np.arange(len(scores))
    if depth is not None and depth < len(scores):
        # All ties at the cut are kept until the positions decide between them.
        cut = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        candidates = np.flatnonzero(scores >= cut)
    # Stable: equal scores keep the order of their positions.
    order = np.argsort(-scores[candidates], kind="stable")[:depth]
    places = candidates[order]
    return Ranking(places, scores[places])


def _copies(vectors: Vectors) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Positions of rows that equal an earlier row, and of the first row that equals each."""
    first: dict[bytes, int] = {}
    places = np.arange(len(vectors))
    earliest = np.fromiter(
        (first.setdefault(row.tobytes(), place) for place, row in enumerate(vectors)),
        dtype=np.intp,
        count=len(vectors),
    )
    copies = np.flatnonzero(earliest != places)
    return copies, earliest[copies]


def places_by_concept(points: PointBatch) -> dict[str, list[int]]:
    """Id of each concept -> positions of its titles."""
    places: dict[str, list[int]] = {}
    for place, payload in enumerate(points.payloads):
        if concept := payload.get("concept_id"):
            places.setdefault(concept, []).append(place)
    return places


def matrix_fetch(
    points: PointBatch, concepts: Mapping[str, list[int]], scores: Vectors, min_score: float | None
) -> Fetch:
    """Find the nearest of some points, whose scores are known.

    Args:
        points: sorted by id.
        concepts: output of :func:`places_by_concept`; only needed to search by concepts.
        scores: of all points, from :func:`exact_scores`.
        min_score: lowest score of a point that is found.
    """

    def places_of(ids: Sequence[str]) -> npt.NDArray[np.intp]:
        return np.array([p for concept in ids for p in concepts.get(concept, ())], dtype=np.intp)

    def fetch(
        limit: int, *, only: Sequence[str] = (), without: Sequence[str] = ()
    ) -> list[ScoredPoint]:
        if only or without:
            # Sorted: equal scores are ordered by their place, as the points are sorted by id.
            places = np.sort(places_of(only)) if only else np.arange(len(scores))
            places = np.setdiff1d(places, places_of(without), assume_unique=True)
            ranking = best(scores[places], limit)
            ranking = Ranking(places[ranking.places], ranking.scores)
        else:
            ranking = best(scores, limit)
        found = zip(ranking.places.tolist(), ranking.scores.tolist(), strict=True)
        return [
            ScoredPoint(points.ids[place], score, points.payloads[place])
            for place, score in found
            if min_score is None or score >= min_score
        ]

    return fetch
