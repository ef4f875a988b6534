"""Two systems on the same queries: how large their difference is, how sure, and where it lies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from eval.results import Cell, QueryResult
from eval.statistics import holm, paired_test
from eval.tables.render import Table
from jobsearch.errors import BenchmarkError

# Documents of each ranking that are printed.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """The second system less the first, for a metric on one pair of languages.

    Args:
        benchmark, split, pair, metric: what is compared.
        queries: number of queries.
        first, second: means of the two systems.
        difference: second - first.
        low, high: 95% bootstrap interval of the difference.
        p: two-sided p-value of the paired randomisation test.
        p_holm: the same, corrected by Holm for the number of pairs compared by this metric.
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
    """One query that two systems rank differently.

    Args:
        benchmark, split, pair, metric: as in :class:`Difference`.
        first, second: the query's results.
    """

    benchmark: str
    split: str
    pair: str
    metric: str
    first: QueryResult
    second: QueryResult

    @property
    def difference(self) -> float:
        """Of the metric, second - first."""
        return self.second.metrics[self.metric] - self.first.metrics[self.metric]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "difference": self.difference}


def paired_cells(first: Sequence[Cell], second: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """The cells of two systems that were measured on the same benchmark and pair.

    Raises:
        BenchmarkError: there are none, a side holds several systems, or a benchmark's data differ.
    """
    for side in (first, second):
        if len(systems := sorted({cell.system for cell in side})) > 1:
            raise BenchmarkError(
                f"results of several systems cannot be one side of a comparison: "
                f"{', '.join(systems)}. Give the folder of one"
            )
    theirs = {(cell.benchmark, cell.split, cell.pair): cell for cell in second}
    both = [
        (cell, theirs[cell.benchmark, cell.split, cell.pair])
        for cell in first
        if (cell.benchmark, cell.split, cell.pair) in theirs
    ]
    if not both:
        raise BenchmarkError(
            "the two have no benchmark and pair of languages in common: evaluate both on the same"
        )
    for mine, other in both:
        sums = [cell.provenance.get("benchmark_sha256") for cell in (mine, other)]
        if sums[0] != sums[1]:
            raise BenchmarkError(
                f"{mine.benchmark} {mine.split} {mine.pair} was measured on different data: "
                "evaluate both again on the same files"
            )
    return both


def compare(pairs: Sequence[tuple[Cell, Cell]], metrics: Sequence[str]) -> list[Difference]:
    """Test two systems against each other, metric by metric.

    Args:
        pairs: as :func:`paired_cells` gives them.
        metrics: names as in :data:`eval.metrics.MEASURES`.

    Returns:
        One difference a metric and pair, in that order.
    """
    found: list[Difference] = []
    for metric in metrics:
        tested = [_difference(first, second, metric) for first, second in pairs]
        corrected = holm([one.p for one in tested])
        found += [replace(one, p_holm=p) for one, p in zip(tested, corrected, strict=True)]
    return found


def _difference(first: Cell, second: Cell, metric: str) -> Difference:
    left, right = (
        np.array([result.metrics[metric] for result in cell.per_query]) for cell in (first, second)
    )
    test = paired_test(left, right)
    return Difference(
        benchmark=first.benchmark,
        split=first.split,
        pair=first.pair,
        metric=metric,
        queries=len(left),
        first=float(left.mean()),
        second=float(right.mean()),
        difference=test.difference,
        low=test.low,
        high=test.high,
        p=test.p,
        p_holm=test.p,
        better=int((right > left).sum()),
        worse=int((right < left).sum()),
    )


def changes(
    pairs: Sequence[tuple[Cell, Cell]], metric: str, most: int
) -> tuple[list[Change], list[Change]]:
    """The queries that gained most and those that lost most, at most ``most`` of each."""
    found = [
        Change(first.benchmark, first.split, first.pair, metric, one, other)
        for first, second in pairs
        for one, other in zip(first.per_query, second.per_query, strict=True)
    ]
    found.sort(key=lambda change: change.difference)
    gained = [change for change in reversed(found) if change.difference > 0]
    lost = [change for change in found if change.difference < 0]
    return gained[:most], lost[:most]


def tables(
    first: str,
    second: str,
    differences: Sequence[Difference],
    gained: Sequence[Change],
    lost: Sequence[Change],
) -> list[Table]:
    """The differences as one table a metric, and both rankings of every query given.

    ``first`` and ``second`` are names; the rest is as :func:`compare` and :func:`changes` give it.
    """
    found = []
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
        found.append(Table(f"{metric}: {first} (first), {second} (second)", headers, rows, words=2))
    found += [_rankings(first, second, change, "gained") for change in gained]
    found += [_rankings(first, second, change, "lost") for change in lost]
    return found


def _p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def _rankings(first: str, second: str, change: Change, what: str) -> Table:
    """Both rankings side by side; an asterisk marks what is relevant."""
    before, after = (result.metrics[change.metric] for result in (change.first, change.second))
    sides = [
        [f"{'*' if (hit.relevance or 0) > 0 else ' '} {hit.title}" for hit in result.best[:_SHOWN]]
        for result in (change.first, change.second)
    ]
    asked = f"{change.first.title!r} ({change.benchmark} {change.pair})"
    return Table(
        f"{what}: {asked}, {change.first.relevant} relevant: "
        f"{change.metric} {before:.3f} to {after:.3f}",
        (first, second),
        tuple(zip_longest(*sides, fillvalue="")),
        words=2,
    )
