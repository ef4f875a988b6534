"""Data of the charts in a report: bars with intervals, and scatter plots of two systems."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.results import Cell, QueryResult
from eval.tables.leaderboard import pairs_in_order

#: Okabe and Ito's colours, distinguishable with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#999999")


@dataclass(frozen=True, slots=True)
class Bar:
    """A mean with its 95% interval, in [0, 1]."""

    system: str
    colour: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """One metric on one benchmark; a group of bars per pair of languages."""

    title: str
    groups: tuple[tuple[str, tuple[Bar, ...]], ...]


@dataclass(frozen=True, slots=True)
class Dot:
    """One query: its metric in two systems, in [0, 1], and the label shown under the pointer."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """All queries of one pair of languages; ``x_system`` is plotted across, ``y_system`` up."""

    title: str
    x_system: str
    y_system: str
    dots: tuple[Dot, ...]


def colours_of(cells: Sequence[Cell]) -> dict[str, str]:
    """System -> its colour in all charts of a page."""
    systems = dict.fromkeys(cell.system for cell in cells)
    return {system: COLOURS[n % len(COLOURS)] for n, system in enumerate(systems)}


def bar_charts(cells: Sequence[Cell], metrics: Sequence[str]) -> list[BarChart]:
    """One chart per benchmark, split and metric."""
    colours = colours_of(cells)
    sets = dict.fromkeys((cell.benchmark, cell.split) for cell in cells)
    charts = []
    for benchmark, split in sets:
        own = [cell for cell in cells if (cell.benchmark, cell.split) == (benchmark, split)]
        for metric in metrics:
            groups = tuple(
                (pair, tuple(_bar(cell, metric, colours) for cell in own if cell.pair == pair))
                for pair in pairs_in_order(own)
            )
            charts.append(BarChart(f"{benchmark} {split}: {metric}", groups))
    return charts


def _bar(cell: Cell, metric: str, colours: dict[str, str]) -> Bar:
    low, high = cell.intervals.get(metric, (cell.metrics[metric],) * 2)
    return Bar(cell.system, colours[cell.system], cell.metrics[metric], low, high)


def scatters(pairs: Sequence[tuple[Cell, Cell]], metric: str) -> list[Scatter]:
    """One chart per pair of cells, as :func:`eval.tables.compare.paired_cells` returns them."""
    return [
        Scatter(
            f"{first.benchmark} {first.split} {first.pair}: {metric}",
            first.system,
            second.system,
            tuple(
                _dot(one, other, metric)
                for one, other in zip(first.per_query, second.per_query, strict=True)
            ),
        )
        for first, second in pairs
    ]


def _dot(one: QueryResult, other: QueryResult, metric: str) -> Dot:
    x, y = one.metrics[metric], other.metrics[metric]
    return Dot(x, y, f"{one.title}: {x:.3f} to {y:.3f}")
