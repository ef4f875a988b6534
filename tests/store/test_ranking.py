"""The order of tied points, and the work that ties may cost."""

import numpy as np
import pytest

from jobsearch.store.protocol import ScoredPoint
from jobsearch.store.ranking import MAX_TIED, rank
from jobsearch.vectors import Vectors

ONE_QUERY = np.ones((1, 1), np.float32)


class Engine:
    """Returns points in an order of its own where scores are equal, and notes the depths."""

    def __init__(self, scores: list[float]) -> None:
        order = np.random.default_rng(0).permutation(len(scores))
        points = [ScoredPoint(f"{n:06}", scores[n], {}) for n in order]
        self.points = sorted(points, key=lambda point: -point.score)
        self.depths: list[int] = []

    def __call__(self, vectors: Vectors, depth: int) -> list[list[ScoredPoint]]:
        self.depths.append(depth)
        return [self.points[:depth] for _ in vectors]


def ids(points: list[ScoredPoint]) -> list[str]:
    return [point.id for point in points]


@pytest.mark.parametrize("tied", [1, 17, 18, 19, 100, MAX_TIED + 9])
def test_a_tie_at_the_limit_is_ordered_by_id(tied: int) -> None:
    engine = Engine([0.5] * 400 + [1.0] * 3 + [0.75] * tied)
    [points] = rank(engine, ONE_QUERY, limit=3 + min(tied, 10), score_threshold=None)
    assert ids(points) == [f"{n:06}" for n in range(400, 403 + min(tied, 10))]
    assert len(engine.depths) <= 2


@pytest.mark.parametrize("tied", [1000, 100_000])
def test_the_work_does_not_grow_with_a_tie(tied: int) -> None:
    engine = Engine([1.0] * 3 + [0.75] * tied)
    [points] = rank(engine, ONE_QUERY, limit=10, score_threshold=None)
    assert engine.depths == [18, 10 + MAX_TIED]
    # Which of the tied points are returned is up to the engine; their order is not.
    assert ids(points)[:3] == ["000000", "000001", "000002"]
    assert ids(points)[3:] == sorted(ids(engine.points[3 : 10 + MAX_TIED]))[:7]


def test_only_tied_queries_are_repeated() -> None:
    asked: list[int] = []
    tied, other = Engine([1.0] * 100), Engine([n / 100 for n in range(100)])

    def fetch(vectors: Vectors, depth: int) -> list[list[ScoredPoint]]:
        asked.append(len(vectors))
        return [(tied if row[0] > 0 else other).points[:depth] for row in vectors]

    queries = np.array([[1.0], [-1.0], [-1.0]], np.float32)
    points = rank(fetch, queries, limit=2, score_threshold=None)
    assert asked == [3, 1]
    assert [ids(row) for row in points] == [["000000", "000001"], *[["000099", "000098"]] * 2]
