"""Whole rankings, computed from the stored vectors instead of asked of the engine.

An engine returns every point of a ranking with its payload: at the depth of a whole corpus that is
far slower than one multiplication. Both ways give the same order, ties included.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobsearch.store.protocol import PointBatch, Store
from jobsearch.types import Filters
from jobsearch.vectors import Vectors

# Scores held at a time: 16 MB in float32.
_CHUNK_SCORES = 1 << 22


@dataclass(frozen=True, slots=True)
class Ranking:
    """The points for one query, best first.

    Args:
        places: of the points in their batch.
        scores: their cosines in [-1, 1], float32, descending.
    """

    places: npt.NDArray[np.intp]
    scores: Vectors


def read_points(store: Store, names: Sequence[str], filters: Filters | None = None) -> PointBatch:
    """All points of some collections that pass the filter, sorted by id.

    Args:
        store: where they are.
        names: of one collection or several, made by the same encoder.
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
    if len(names) > 1:  # Each is sorted by itself.
        order = sorted(range(len(ids)), key=ids.__getitem__)
        ids, payloads = [ids[place] for place in order], [payloads[place] for place in order]
        vectors = vectors[order]
    return PointBatch(ids, vectors, payloads)


def exact_rankings(
    points: PointBatch, queries: Vectors, *, depth: int | None = None
) -> Iterator[Ranking]:
    """Rank ``points`` for each row of ``queries``, in their order.

    Args:
        points: sorted by id, as :func:`read_points` gives them.
        queries: (n, dim) float32, rows of unit length.
        depth: length of each ranking; all points if None.

    Yields:
        Rankings by (-score, id), as ``Store.query(exact=True)`` orders them. Equal vectors always
        score equal.
    """
    # A matrix product may round equal rows differently by where they stand, which would decide
    # ties at random; so each distinct vector is multiplied once.
    distinct, copies = _distinct_rows(points.vectors)
    size = max(1, _CHUNK_SCORES // max(1, len(points)))
    for start in range(0, len(queries), size):
        scores = np.clip(queries[start : start + size] @ distinct.T, -1.0, 1.0)[:, copies]
        for row in scores:
            # Stable: points of equal score stay in the order of their ids.
            places = np.argsort(-row, kind="stable")[:depth]
            yield Ranking(places, row[places])


def _distinct_rows(vectors: Vectors) -> tuple[Vectors, npt.NDArray[np.intp]]:
    """The rows without repetition, and for each row the place of its like among them."""
    first: dict[bytes, int] = {}
    copies = np.fromiter(
        (first.setdefault(row.tobytes(), len(first)) for row in vectors),
        dtype=np.intp,
        count=len(vectors),
    )
    _, where = np.unique(copies, return_index=True)
    return vectors[where], copies
