"""Groups titles by the concept that they denote."""

from collections.abc import Sequence
from typing import Protocol

from jobsearch.store.protocol import ScoredPoint

#: Maximum number of titles in each language that a hit lists beside its own.
MAX_OTHERS = 100

# Titles fetched per requested concept. If a few concepts have most of them, these are excluded and
# the next titles are fetched, so the work does not grow with the number of titles of a concept.
_TITLES_PER_CONCEPT = 8
# Concepts per request when their titles are read.
_CONCEPTS_PER_FETCH = 100


class Fetch(Protocol):
    """Finds the nearest titles of one collection for one query."""

    def __call__(
        self, limit: int, *, only: Sequence[str] = (), without: Sequence[str] = ()
    ) -> list[ScoredPoint]:
        """Return up to ``limit`` points, sorted by descending score, then by id.

        Args:
            limit: maximum number of points.
            only: ids of concepts, to which all points belong; any points if empty.
            without: ids of concepts, to which no point belongs.
        """
        ...


def concept_of(point: ScoredPoint) -> str:
    """The id of the point's concept; a title without a concept is a concept of its own."""
    return point.payload.get("concept_id", point.id)


def nearest_concepts(fetch: Fetch, top: int) -> list[ScoredPoint]:
    """The best title of each of the ``top`` nearest concepts, best first."""
    limit = top * _TITLES_PER_CONCEPT
    best: dict[str, ScoredPoint] = {}
    while True:
        known = [concept_of(point) for point in best.values() if has_concept(point)]
        points = fetch(limit, without=known)
        for point in points:
            best.setdefault(concept_of(point), point)
        # Otherwise the points have at least one new concept, since ``top`` is less than ``limit``.
        if len(best) >= top or len(points) < limit:
            return list(best.values())[:top]


def has_concept(point: ScoredPoint) -> bool:
    """Whether the point's title denotes a known concept."""
    return "concept_id" in point.payload


def other_titles(fetch: Fetch, best: Sequence[ScoredPoint]) -> dict[str, tuple[str, ...]]:
    """The titles of the concepts of some points, without the points themselves.

    Args:
        fetch: finds titles of one collection.
        best: the points, of different concepts.

    Returns:
        Id of each concept -> up to ``MAX_OTHERS`` titles, nearest first.
    """
    shown = {point.id for point in best}
    pending = [concept_of(point) for point in best if has_concept(point)]
    others: dict[str, tuple[str, ...]] = {}
    # One more, since the points themselves may be among the titles.
    most = MAX_OTHERS + 1
    while pending:
        concepts, later = pending[:_CONCEPTS_PER_FETCH], pending[_CONCEPTS_PER_FETCH:]
        limit = len(concepts) * most
        points = fetch(limit, only=concepts)
        titles: dict[str, list[ScoredPoint]] = {concept: [] for concept in concepts}
        for point in points:
            titles[concept_of(point)].append(point)
        # At the limit, at least one concept has ``most`` titles: each fetch completes one or more.
        complete = [c for c in concepts if len(points) < limit or len(titles[c]) >= most]
        for concept in complete:
            listed = [p.payload["title"] for p in titles[concept] if p.id not in shown]
            others[concept] = tuple(listed[:MAX_OTHERS])
        pending = [concept for concept in concepts if concept not in others] + later
    return others
