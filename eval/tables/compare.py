"""Compares two systems on the same queries: size, significance and location of the difference."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from eval.results import Cell, QueryResult
from eval.statistics import holm, paired_test
from eval.tables.render import Table
from jobsearch.errors import BenchmarkError

# Number of documents per ranking in the tables.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """The second system less the first, for a metric on one pair of languages.

    Args:
        benchmark, split, pair, metric: the figures that are compared.
        queries: number of queries.
        first, second: means of the two systems.
        difference: second - first.
        low, high: 95% bootstrap interval of the difference.
        p: two-sided p-value of the paired randomisation test.
        p_holm: ``p`` after Holm's correction over all pairs compared by this metric.
        better, worse: number of queries on which the second system is better, or worse.
    """

    benchmark: str
    split: str
    pair: str
    metric: str
    queries: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    better: int
    worse: int


@dataclass(frozen=True, slots=True)
class Change:
    """One query with its results in both systems.

    Args:
        benchmark, split, pair, metric: as in :class:`Difference`.
        first, second: results of the query in the first and in the second system.
    """

    benchmark: str
    split: str
    pair: str
    metric: str
    first: QueryResult
    second: QueryResult

    @property
    def difference(self) -> float:
        """Difference of the metric, second - first."""
        return self.second.metrics[self.metric] - self.first.metrics[self.metric]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "difference": self.difference}


def paired_cells(first: Sequence[Cell], second: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Pair the cells of two systems that were measured on the same benchmark, split and pair.

    Raises:
        BenchmarkError: there are no such cells, one side has several systems, or the data or the
            queries of a benchmark differ.
    """
    for side in (first, second):
        if len(systems := sorted({cell.system for cell in side})) > 1:
            raise BenchmarkError(
                "one side of a comparison has results of several systems: "
                f"{', '.join(systems)}. Give the folder of one system"
            )
    second_cells = {(cell.benchmark, cell.split, cell.pair): cell for cell in second}
    pairs = [
        (cell, second_cells[cell.benchmark, cell.split, cell.pair])
        for cell in first
        if (cell.benchmark, cell.split, cell.pair) in second_cells
    ]
    if not pairs:
        raise BenchmarkError(
            "the two systems have no benchmark and pair of languages in common: evaluate both on "
            "the same benchmark"
        )
    for one, other in pairs:
        digests = [cell.provenance.get("benchmark_sha256") for cell in (one, other)]
        if digests[0] != digests[1]:
            raise BenchmarkError(
                f"{one.benchmark} {one.split} {one.pair} was measured on different data: "
                "evaluate both systems again on the same files"
            )
        queries = [[result.query_id for result in cell.per_query] for cell in (one, other)]
        if queries[0] != queries[1]:
            raise BenchmarkError(
                f"the results of {one.benchmark} {one.split} {one.pair} have different queries: "
                "one of them was altered, evaluate both systems again"
            )
    return pairs


def compare(pairs: Sequence[tuple[Cell, Cell]], metrics: Sequence[str]) -> list[Difference]:
    """Test two systems against each other, metric by metric.

    Args:
        pairs: cells of both systems, as :func:`paired_cells` returns them.
        metrics: names as in :data:`eval.metrics.MEASURES`.

    Returns:
        One difference per metric and pair, sorted by metric, then as ``pairs``.
    """
    differences: list[Difference] = []
    for metric in metrics:
        tested = [_difference(first, second, metric) for first, second in pairs]
        corrected = holm([one.p for one in tested])
        differences += [replace(one, p_holm=p) for one, p in zip(tested, corrected, strict=True)]
    return differences


def _difference(first: Cell, second: Cell, metric: str) -> Difference:
    before, after = (
        np.array([result.metrics[metric] for result in cell.per_query]) for cell in (first, second)
    )
    test = paired_test(before, after)
    return Difference(
        benchmark=first.benchmark,
        split=first.split,
        pair=first.pair,
        metric=metric,
        queries=len(before),
        first=float(before.mean()),
        second=float(after.mean()),
        difference=test.difference,
        low=test.low,
        high=test.high,
        p=test.p,
        p_holm=test.p,
        better=int((after > before).sum()),
        worse=int((after < before).sum()),
    )


def changes(
    pairs: Sequence[tuple[Cell, Cell]], metric: str, most: int
) -> tuple[list[Change], list[Change]]:
    """The queries with the largest gains and with the largest losses, at most ``most`` of each.

    Queries whose metric does not change are in neither list.
    """
    every = [
        Change(first.benchmark, first.split, first.pair, metric, one, other)
        for first, second in pairs
        for one, other in zip(first.per_query, second.per_query, strict=True)
    ]
    every.sort(key=lambda change: change.difference)
    gained = [change for change in reversed(every) if change.difference > 0]
    lost = [change for change in every if change.difference < 0]
    return gained[:most], lost[:most]


def tables(
    first: str,
    second: str,
    differences: Sequence[Difference],
    gained: Sequence[Change],
    lost: Sequence[Change],
) -> list[Table]:
    """One table of differences per metric, then one of both rankings per changed query.

    Args:
        first: name of the first system.
        second: name of the second system.
        differences: as :func:`compare` returns them.
        gained: queries that gained, as :func:`changes` returns them.
        lost: queries that lost, likewise.
    """
    parts = []
    for metric in dict.fromkeys(difference.metric for difference in differences):
        rows = tuple(
            (
                f"{d.benchmark} {d.split}",
                d.pair,
                str(d.queries),
                f"{d.first:.3f}",
                f"{d.second:.3f}",
                f"{d.difference:+.3f}",
                f"{d.low:+.3f} to {d.high:+.3f}",
                _p_value(d.p),
                _p_value(d.p_holm),
                f"{d.better} / {d.worse}",
            )
            for d in differences
            if d.metric == metric
        )
        headers = (
            "benchmark", "pair", "queries", "first", "second", "difference", "95% interval", "p",
            "p (Holm)", "better / worse",
        )  # fmt: skip
        parts.append(Table(f"{metric}: {first} (first), {second} (second)", headers, rows, words=2))
    parts += [_rankings(first, second, change, "gained") for change in gained]
    parts += [_rankings(first, second, change, "lost") for change in lost]
    return parts


def _p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def _rankings(first: str, second: str, change: Change, direction: str) -> Table:
    """Both rankings side by side; an asterisk marks relevant documents."""
    before, after = (result.metrics[change.metric] for result in (change.first, change.second))
    sides = [
        [f"{'*' if (hit.relevance or 0) > 0 else ' '} {hit.title}" for hit in result.best[:_SHOWN]]
        for result in (change.first, change.second)
    ]
    query = f"{change.first.title!r} ({change.benchmark} {change.pair})"
    return Table(
        f"{direction}: {query}, {change.first.relevant} relevant: "
        f"{change.metric} {before:.3f} to {after:.3f}",
        (first, second),
        tuple(zip_longest(*sides, fillvalue="")),
        words=2,
    )
