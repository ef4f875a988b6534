"""Which queries and documents a run for a pair of languages has to hold."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from jobsearch.errors import BenchmarkError

_PAIR = re.compile(r"(?:^|[_.-])([a-z]{2}-[a-z]{2})(?=[_.-]|$)")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run for a pair of languages has to hold.

    Args:
        pair: e.g. ``en-es``.
        query_ids, doc_ids: of that pair.
        others: other pairs of the data, with their query ids and document ids.
    """

    pair: str
    query_ids: frozenset[str]
    doc_ids: frozenset[str]
    others: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)


def expected_for(pair: str, ids: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> Expected:
    """What a run for ``pair`` has to hold, of the ids that ``ids_of_split`` gives.

    Raises:
        BenchmarkError: the data have no such pair.
    """
    if pair not in ids:
        raise BenchmarkError(
            f"there is no data to check a run for {pair} against: its pairs are {', '.join(ids)}"
        )
    return Expected(pair, *ids[pair], {other: ids[other] for other in ids if other != pair})


def pair_of_name(path: Path) -> str | None:
    """The pair that a file name tells, as in ``run_en-es_TEAM.trec``."""
    found = _PAIR.search(path.stem)
    return found[1] if found else None


def pairs_with(queries: Set[str], documents: Set[str], expected: Expected) -> list[str]:
    """The other pairs whose ids a run has; none if it may have those of the expected pair.

    Ids may be numbers from 1 on in every language, and then those of a small set stand in a large
    one too: a run that has all the ids of another pair, and not all of its own, is one for that.
    """
    ids = (queries, documents)
    if ids == (expected.query_ids, expected.doc_ids):
        return []
    if exact := [pair for pair, others in expected.others.items() if ids == others]:
        return exact
    if queries <= expected.query_ids and documents <= expected.doc_ids:
        return []
    return [
        pair
        for pair, (query_ids, doc_ids) in expected.others.items()
        if queries <= query_ids and documents <= doc_ids
    ]
