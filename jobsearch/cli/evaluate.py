"""``jobsearch eval``: benchmarks measured through the store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import (
    BASELINE_NAMES,
    METRICS,
    PAIRS,
    Place,
    as_json,
    quantization,
    with_options,
    with_settings,
)
from jobsearch.cli.output import bars_wanted, note, print_json, print_text
from jobsearch.cli.run_files import package, score, validate
from jobsearch.errors import BenchmarkError
from jobsearch.settings import Settings
from jobsearch.types import Quantization, VectorStorage

if TYPE_CHECKING:
    from eval.benchmarks.base import Benchmark
    from eval.results import Cell
    from eval.systems import System


_FOLDER = Place(exists=True, file_okay=False)
_metrics = click.option(
    "--metrics",
    type=METRICS,
    default="MAP,MRR",
    show_default=True,
    help="Of MAP, MRR, nDCG, P@5, P@10, P@100, R@100.",
)


_trained_on = click.option(
    "--trained-on",
    type=Place(exists=True),
    help="ESCO export or TalentCLEF training pairs: also show the queries that are titles of "
    "these apart from the others.",
)


@click.command()
@click.argument("folder", type=_FOLDER)
@_metrics
@_trained_on
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex"]),
    default="text",
    show_default=True,
    help="How the tables are laid out.",
)
@as_json
def leaderboard(
    folder: Path, metrics: tuple[str, ...], trained_on: Path | None, form: str, json_: bool
) -> None:
    """Print the tables of all results in FOLDER, as `--results` has written them."""
    from eval.results import read_cells
    from eval.tables.diagnostics import details
    from eval.tables.leaderboard import tables
    from eval.tables.render import render

    cells = read_cells(folder)
    shown = [*tables(cells, metrics), *details(cells, metrics, _titles_in(trained_on))]
    if json_:
        data = [cell.as_dict() for cell in cells]
        print_json({"cells": data, "tables": [asdict(table) for table in shown]})
    else:
        print_text(render(shown, form))


@click.command()
@click.argument("first", type=_FOLDER)
@click.argument("second", type=_FOLDER)
@_metrics
@click.option(
    "--queries",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Number of queries to show that gained most, and that lost most, by the first metric.",
)
@as_json
def compare(first: Path, second: Path, metrics: tuple[str, ...], queries: int, json_: bool) -> None:
    """Test the results of two systems against each other: SECOND less FIRST.

    Both are folders that `--results DIR` has written, such as DIR/builtin-pretrained and
    DIR/builtin-finetuned. For each pair of languages there is a 95% bootstrap interval of the
    difference and a paired randomisation test, corrected by Holm over the pairs; then the queries
    that gained and lost most, with both rankings.
    """
    from eval.results import read_cells
    from eval.tables.compare import changes, paired_cells, tables
    from eval.tables.compare import compare as test
    from eval.tables.render import render

    pairs = paired_cells(read_cells(first), read_cells(second))
    differences = test(pairs, metrics)
    gained, lost = changes(pairs, metrics[0], queries)
    names = pairs[0][0].system, pairs[0][1].system
    if json_:
        print_json(
            {
                "first": names[0],
                "second": names[1],
                "differences": [asdict(difference) for difference in differences],
                "gained": [change.as_dict() for change in gained],
                "lost": [change.as_dict() for change in lost],
            }
        )
        return
    print_text(render(tables(*names, differences, gained, lost)))


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option(
    "--out",
    type=Place(dir_okay=False),
    default="report.html",
    show_default=True,
    help="File to write; an earlier one is replaced.",
)
@click.option(
    "--figure",
    type=Place(exists=True, dir_okay=False),
    help="SVG or PNG file to show, as `jobsearch models plot` draws it.",
)
@_trained_on
def report(folder: Path, out: Path, figure: Path | None, trained_on: Path | None) -> None:
    """Make one HTML page of all results in FOLDER: tables, intervals, comparisons, what is hidden.

    The page needs no network and runs no code.
    """
    from eval.report import write_report
    from eval.results import read_cells

    titles = _titles_in(trained_on)
    write_report(read_cells(folder), out, figure=figure, trained_on=titles)
    print_text(out)


def _titles_in(trained_on: Path | None) -> frozenset[str]:
    from ingest.training_titles import titles_in, training_source

    return titles_in([training_source(trained_on)]) if trained_on else frozenset()


_EXISTING = Place()


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--runs",
            type=Place(file_okay=False),
            help="Folder for the TREC run files; none are written if left out.",
        ),
        click.option(
            "--results",
            type=Place(file_okay=False),
            help="Folder for the results, every query included, a file a cell; those that are "
            "there and still hold are not measured again.",
        ),
        click.option(
            "--baselines",
            type=BASELINE_NAMES,
            help="Rankings without a model to measure beside it: random, bm25, tfidf.",
        ),
        click.option(
            "--index-loss",
            is_flag=True,
            help="Also ask every query of the live index, as a search would: what it loses "
            "against an exact search, and how long it takes.",
        ),
        quantization,
        click.option(
            "--language-check",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="Refuse queries or documents that are plainly in another language than they "
            "should be.",
        ),
    ]
    return with_options(as_json(with_settings(command)), options)


@click.group("eval")
def evaluate() -> None:
    """Measure models on benchmarks, through the store: MAP, MRR, nDCG, precision, recall.

    Corpora are stored in collections of their own, apart from those that are searched. Every
    ranking is exact and covers the whole corpus.
    """


@evaluate.command()
@click.argument("path", type=_EXISTING)
@click.option("--pairs", type=PAIRS, help="Such as en-en,en-es; all that are there if left out.")
@click.option("--split", default="validation", show_default=True, help="Part with judgements.")
@_common
def talentclef(path: Path, pairs: tuple[str, ...] | None, split: str, **common: Any) -> None:
    """Evaluate on TalentCLEF 2025 task A: PATH is its folder or zip."""
    from eval.benchmarks.talentclef import load_talentclef

    _run(load_talentclef(path, pairs=pairs, split=split), **common)


@evaluate.command()
@click.argument("path", type=_EXISTING)
@click.option("--set", "set_name", metavar="NAME", help="The one to take where PATH has several.")
@_common
def melo(path: Path, set_name: str | None, **common: Any) -> None:
    """Evaluate on a MELO set.

    PATH is its folder, such as deu_q_de_c_en, or a folder or zip that has it or several.
    """
    from eval.benchmarks.melo import load_melo

    _run(load_melo(path, set_name=set_name), **common)


@evaluate.command()
@click.option("--queries", required=True, type=_EXISTING, metavar="FILE", help="Ids and titles.")
@click.option("--corpus", required=True, type=_EXISTING, metavar="FILE", help="Ids and titles.")
@click.option("--qrels", required=True, type=_EXISTING, metavar="FILE", help="TREC judgements.")
@click.option("--query-language", required=True, metavar="LANG", help="Of all queries.")
@click.option("--corpus-language", required=True, metavar="LANG", help="Of all documents.")
@click.option(
    "--name",
    default="trec",
    show_default=True,
    help="Of the benchmark; its corpus is stored under it.",
)
@_common
def trec(
    queries: Path,
    corpus: Path,
    qrels: Path,
    query_language: str,
    corpus_language: str,
    name: str,
    **common: Any,
) -> None:
    """Evaluate on a benchmark of your own: queries, a corpus and TREC judgements.

    Queries and corpus are tab-separated ids and titles, with a header or without.
    """
    from eval.benchmarks.trec import load_trec

    benchmarks = load_trec(
        queries,
        corpus,
        qrels,
        query_language=query_language,
        corpus_language=corpus_language,
        name=name,
    )
    _run(benchmarks, **common)


@evaluate.command()
@click.argument("path", type=_EXISTING)
@click.option(
    "--pairs",
    type=PAIRS,
    default="en-es,en-de",
    show_default=True,
    help="Language of the queries, language of the labels.",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Number of queries a pair.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of concepts.")
@_common
def esco(path: Path, pairs: tuple[str, ...], size: int, seed: int, **common: Any) -> None:
    """Evaluate on an ESCO export: PATH is its folder or zip.

    Preferred labels of one language are searched for among all labels of another; those of the same
    occupation are relevant.
    """
    from eval.benchmarks.esco import load_esco_labels

    _run(load_esco_labels(path, pairs=pairs, size=size, seed=seed), **common)


@evaluate.command()
@click.option("--pairs", type=PAIRS, help="All that the sample has if left out.")
@_common
def sample(pairs: tuple[str, ...] | None, **common: Any) -> None:
    """Evaluate on the sample that ships with jobsearch; its figures say nothing about quality."""
    from eval.benchmarks.talentclef import load_sample

    _run(load_sample(pairs=pairs), **common)


def _run(
    benchmarks: "Sequence[Benchmark]",
    *,
    settings: Settings,
    runs: Path | None,
    results: Path | None,
    baselines: tuple[str, ...] | None,
    index_loss: bool,
    quantization: Quantization,
    language_check: str,
    json_: bool,
) -> None:
    """Measure every variant and baseline on every benchmark; print the cells or the tables."""
    from eval.diagnostics.plausibility import implausible
    from eval.results import save_cell
    from eval.run import evaluate as measure
    from eval.run import find_cell
    from eval.systems import VectorSearch
    from eval.tables.diagnostics import tables_of_index_loss
    from eval.tables.leaderboard import tables
    from eval.tables.render import render

    cells: list[Cell] = []
    for system in _systems(settings, baselines or (), VectorStorage(quantization)):
        for benchmark in benchmarks:
            kept = find_cell(results, benchmark, system) if results else None
            if kept and not runs:
                note(f"{kept.system} on {kept.benchmark} {kept.pair}: as measured before")
                cell = kept
            else:
                cell = measure(
                    benchmark,
                    system,
                    runs_dir=runs,
                    language_check=language_check == "on",
                    progress=bars_wanted(),
                )
                cell = replace(cell, index=kept.index if kept else ())
            if index_loss and isinstance(system, VectorSearch):
                # Anew: another store has another index.
                cell = replace(cell, index=system.measure_index(benchmark, progress=bars_wanted()))
            if results and cell is not kept:
                save_cell(results, cell)
            cells.append(cell)
    if json_:
        print_json({"cells": [cell.as_dict() for cell in cells]})
    else:
        shown = [*tables(cells, ("MAP", "MRR")), *tables_of_index_loss(cells)]
        print_text(render(shown))
        for folder, what in ((runs, "runs are"), (results, "results are")):
            if folder:
                note(f"{what} in {folder}")
    if wrong := implausible(cells):
        raise BenchmarkError("these figures cannot be right. " + " ".join(wrong))


def _systems(
    settings: Settings, baselines: tuple[str, ...], storage: VectorStorage
) -> "Iterator[System]":
    """The baselines, then the variants, each loaded when it is needed."""
    from eval.systems import BASELINES, VectorSearch
    from jobsearch.cli.session import encoder_of, store_of, variants_to_build

    yield from (BASELINES[name] for name in baselines)
    store = store_of(settings)
    for variant in variants_to_build(settings):
        note(f"loading {settings.model} {variant}")
        yield VectorSearch(store, encoder_of(settings, variant), storage)


for _command in (leaderboard, compare, report, validate, package, score):
    evaluate.add_command(_command)
