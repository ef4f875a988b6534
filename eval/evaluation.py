"""Evaluations: systems measured on benchmarks, and their tables, report and comparison.

:func:`evaluate_systems` measures; :func:`read_evaluation` reads kept results, for which it needs
neither a model nor a store.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.metrics import MEASURES
from eval.results import Cell, read_cells, save_cell
from eval.tables import compare, diagnostics, leaderboard
from eval.tables.compare import Change, Difference
from eval.tables.render import Table, render
from jobsearch.errors import InvalidInput

if TYPE_CHECKING:
    from eval.benchmarks.base import Benchmark
    from eval.systems import System

#: Metrics of tables and comparisons if none are given.
METRICS = ("MAP", "MRR")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Systems measured on benchmarks.

    Methods take metrics by their names in :data:`eval.metrics.MEASURES`, and raise
    ``InvalidInput`` for other names.

    Args:
        cells: one result per system and benchmark.
    """

    cells: tuple[Cell, ...]

    def table(self, metrics: Sequence[str] = METRICS, form: str = "text") -> str:
        """The leaderboard and the loss of the live index, if measured.

        Args:
            metrics: one or two tables per metric and benchmark.
            form: ``text``, ``markdown`` or ``latex``.
        """
        loss = diagnostics.tables_of_index_loss(self.cells)
        return render([*leaderboard.tables(self.cells, _checked(metrics)), *loss], form)

    def tables(
        self, metrics: Sequence[str] = METRICS, trained_on: Collection[str] = ()
    ) -> list[Table]:
        """The leaderboard, followed by :meth:`details`.

        Args:
            metrics: metrics of the tables.
            trained_on: as for :meth:`details`.
        """
        board = leaderboard.tables(self.cells, _checked(metrics))
        return [*board, *self.details(metrics, trained_on)]

    def details(
        self, metrics: Sequence[str] = METRICS, trained_on: Collection[str] = ()
    ) -> list[Table]:
        """Benchmark facts, copies of the query, seen queries, gender and index loss.

        Args:
            metrics: metrics of the tables.
            trained_on: titles of training data, as :func:`ingest.training_titles.titles_in` returns
                them; if not empty, queries among them get a table.
        """
        return diagnostics.details(self.cells, _checked(metrics), trained_on)

    def problems(self) -> list[str]:
        """Describe figures that cannot be right; see :mod:`eval.diagnostics.plausibility`."""
        from eval.diagnostics.plausibility import implausible

        return implausible(self.cells)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: all cells, without their queries."""
        return {"cells": [cell.as_dict() for cell in self.cells]}

    def report(
        self,
        path: str | Path,
        figure: str | Path | None = None,
        trained_on: Collection[str] = (),
    ) -> None:
        """Write one HTML page; see :func:`eval.report.write_report`.

        Raises:
            BenchmarkError: the report cannot be written, or the figure cannot be read.
        """
        from eval.report import write_report

        picture = Path(figure) if figure else None
        write_report(self.cells, Path(path), figure=picture, trained_on=trained_on)

    def compare(
        self, other: "Evaluation", metrics: Sequence[str] = METRICS, queries: int = 3
    ) -> "Comparison":
        """Test another system against this one, on the benchmarks that both were measured on.

        Both evaluations must have a single system.

        Args:
            other: the evaluation of the second system; differences are second minus first.
            metrics: metrics to test, at least one; the first selects the queries.
            queries: number of queries with the largest gains, and with the largest losses.

        Raises:
            BenchmarkError: an evaluation has several systems, the two have no benchmark in common,
                or they were measured on different data.
            InvalidInput: a metric is unknown, or there are none.
        """
        if not metrics:
            raise InvalidInput("`metrics` is empty: give at least one, such as MAP")
        pairs = compare.paired_cells(self.cells, other.cells)
        differences = compare.compare(pairs, _checked(metrics))
        gained, lost = compare.changes(pairs, metrics[0], queries)
        first, second = (cell.system for cell in pairs[0])
        return Comparison(first, second, tuple(differences), tuple(gained), tuple(lost))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between two systems on the same benchmarks.

    Args:
        first, second: names of the systems.
        differences: second minus first, per metric and benchmark.
        gained: the queries with the largest gains, largest first.
        lost: the queries with the largest losses, largest first.
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]

    def table(self, form: str = "text") -> str:
        """One table of differences per metric, then both rankings of the changed queries.

        Args:
            form: ``text``, ``markdown`` or ``latex``.
        """
        return render(
            compare.tables(self.first, self.second, self.differences, self.gained, self.lost), form
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "differences": [asdict(difference) for difference in self.differences],
            "gained": [change.as_dict() for change in self.gained],
            "lost": [change.as_dict() for change in self.lost],
        }


def read_evaluation(folder: str | Path) -> Evaluation:
    """Read a folder of kept results, or the folder of one system in it.

    Raises:
        BenchmarkError: there are no results, a result cannot be read, or results of one system were
            measured with different weights or settings.
    """
    return Evaluation(tuple(read_cells(Path(folder))))


def evaluate_systems(
    benchmarks: "Iterable[Benchmark]",
    systems: "Iterable[System]",
    *,
    runs: str | Path | None = None,
    results: str | Path | None = None,
    index_loss: bool = False,
    language_check: bool = True,
    progress: bool = False,
    notify: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure every system on every benchmark, one system after the other.

    With ``results``, each cell is written as soon as it is measured, so an interrupted evaluation
    resumes with the missing cells. A kept cell whose inputs have not changed is not measured again,
    unless ``runs`` needs its rankings.

    Args:
        benchmarks: the benchmarks.
        systems: the systems; an iterator may load each one when it is needed.
        runs: folder for TREC run files; if None, none are written.
        results: folder for results, one file per cell; if None, none are written or read.
        index_loss: also measure the live index, for systems that have one; always measured anew,
            since another store has another index.
        language_check: refuse queries or documents that are clearly in another language than the
            benchmark states.
        progress: draw progress bars on stderr, if it is a terminal.
        notify: called with one line of text for each cell that is not measured again.

    Returns:
        The cells, sorted by system, then by benchmark, as given. Figures that cannot be right are
        not refused: see :meth:`Evaluation.problems`.

    Raises:
        BenchmarkError: a collection does not hold exactly the corpus, or a file cannot be written.
        LanguageMismatch: titles are clearly in another language.
        SourceError: a corpus cannot be ingested.
        StoreError: the store failed.
    """
    from eval.run import evaluate, find_cell
    from eval.systems import VectorSearch

    runs_dir = Path(runs) if runs else None
    results_dir = Path(results) if results else None
    benchmarks = tuple(benchmarks)
    cells: list[Cell] = []
    for system in systems:
        for benchmark in benchmarks:
            kept = find_cell(results_dir, benchmark, system) if results_dir else None
            if kept and not runs_dir:
                cell = kept
                if notify:
                    notify(f"{kept.system} on {kept.benchmark} {kept.pair}: as measured before")
            else:
                cell = evaluate(
                    benchmark,
                    system,
                    runs_dir=runs_dir,
                    language_check=language_check,
                    progress=progress,
                )
                cell = replace(cell, index=kept.index if kept else ())
            if index_loss and isinstance(system, VectorSearch):
                cell = replace(cell, index=system.measure_index(benchmark, progress=progress))
            if results_dir and cell is not kept:
                save_cell(results_dir, cell)
            cells.append(cell)
    return Evaluation(tuple(cells))


def _checked(metrics: Sequence[str]) -> Sequence[str]:
    if unknown := [name for name in metrics if name not in MEASURES]:
        raise InvalidInput(
            f"unknown metric {', '.join(map(repr, unknown))} in `metrics`: "
            f"choose from {', '.join(MEASURES)}"
        )
    return metrics
