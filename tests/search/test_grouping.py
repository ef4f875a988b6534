"""Grouping by concept over invented scores: exact, and with bounded work."""

from collections.abc import Sequence

import numpy as np
import pytest

from jobsearch.search.full_ranking import matrix_fetch, places_by_concept
from jobsearch.search.grouping import MAX_OTHERS, Fetch, nearest_concepts, other_titles
from jobsearch.store import PointBatch, ScoredPoint


class Titles:
    """Titles in the order of their scores, ids descending; counts the points that are fetched."""

    def __init__(self, concepts: Sequence[str]) -> None:
        count = len(concepts)
        self.points = PointBatch(
            [f"{place:06}" for place in range(count)],
            np.empty((count, 1), np.float32),
            [
                {"title": f"title {place}", **({"concept_id": concept} if concept else {})}
                for place, concept in enumerate(concepts)
            ],
        )
        self.scores = np.linspace(1, 0, count, dtype=np.float32)
        self.fetched = 0

    @property
    def fetch(self) -> Fetch:
        exact = matrix_fetch(self.points, places_by_concept(self.points), self.scores, None)

        def counted(
            limit: int, *, only: Sequence[str] = (), without: Sequence[str] = ()
        ) -> list[ScoredPoint]:
            points = exact(limit, only=only, without=without)
            self.fetched += len(points)
            return points

        return counted


def ids(points: Sequence[ScoredPoint]) -> list[str]:
    return [point.id for point in points]


def test_a_concept_with_thousands_of_titles_costs_no_more() -> None:
    titles = Titles(["big"] * 20_000 + [f"small {n // 3}" for n in range(60)])
    best = nearest_concepts(titles.fetch, 5)
    assert ids(best) == ["000000", "020000", "020003", "020006", "020009"]
    assert titles.fetched <= 2 * 5 * 8
    titles.fetched = 0
    others = other_titles(titles.fetch, best)
    assert titles.fetched <= 2 * 5 * (MAX_OTHERS + 1)
    assert others["big"] == tuple(f"title {n}" for n in range(1, MAX_OTHERS + 1))
    assert others["small 3"] == ("title 20010", "title 20011")


def test_several_large_concepts() -> None:
    titles = Titles([name for name in "abcdef" for _ in range(1000)] + ["g", "", "h"])
    best = nearest_concepts(titles.fetch, 9)
    assert ids(best) == [
        *(f"{place:06}" for place in range(0, 6000, 1000)), "006000", "006001", "006002"
    ]  # fmt: skip
    assert len(nearest_concepts(titles.fetch, 50)) == 9
    others = other_titles(titles.fetch, best)
    assert {concept: len(listed) for concept, listed in others.items()} == {
        **dict.fromkeys("abcdef", MAX_OTHERS), "g": 0, "h": 0
    }  # fmt: skip
    assert others["c"][0] == "title 2001"


@pytest.mark.parametrize("top", [1, 3, 40, 200])
def test_titles_without_a_concept_are_groups_of_their_own(top: int) -> None:
    titles = Titles(["", "a", "", "a", "b", ""] * 20)
    by_hand = [n for n in range(120) if n % 6 in (0, 2, 5) or n in (1, 4)]
    best = nearest_concepts(titles.fetch, top)
    assert ids(best) == [f"{place:06}" for place in by_hand][:top]


def test_more_concepts_than_one_request_takes() -> None:
    titles = Titles([f"concept {n % 250}" for n in range(1000)])
    best = nearest_concepts(titles.fetch, 250)
    others = other_titles(titles.fetch, best)
    assert others == {
        f"concept {n}": tuple(f"title {n + 250 * k}" for k in (1, 2, 3)) for n in range(250)
    }
