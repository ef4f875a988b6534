"""``jobsearch eval``: measures models on benchmarks, and shows the results."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import jobsearch
from jobsearch.cli.options import (
    BASELINE_NAMES,
    METRICS,
    PAIRS,
    Command,
    Place,
    as_json,
    jobs_of,
    language_check,
    quantization,
    with_options,
    with_settings,
)
from jobsearch.cli.output import note, print_json, print_text
from jobsearch.cli.run_files import package, score, validate
from jobsearch.errors import BenchmarkError
from jobsearch.settings import Settings
from jobsearch.types import PLAIN_STORAGE, Quantization, VectorStorage

_EXISTING = Place()
_FOLDER = Place(exists=True, file_okay=False)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all commands that measure; for :func:`_run`."""
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--runs",
            type=Place(file_okay=False),
            help="Folder for the TREC run files; none are written if left out.",
        ),
        click.option(
            "--results",
            type=Place(file_okay=False),
            help="Folder for the results, every query included, one file per system and pair. "
            "Results that are there and still valid are not measured again.",
        ),
        click.option(
            "--baselines",
            type=BASELINE_NAMES,
            default=(),
            help="Rankings without a model to measure beside it: random, bm25, tfidf.",
        ),
        click.option(
            "--index-loss",
            is_flag=True,
            help="Also send every query to the live index, as a search does: measures its loss "
            "against an exact search, and its speed.",
        ),
        quantization("none"),
        language_check,
    ]
    return with_options(as_json(with_settings(command)), options)


def _run(
    benchmark: str,
    *paths: Path,
    settings: Settings,
    runs: Path | None,
    results: Path | None,
    baselines: tuple[str, ...],
    index_loss: bool,
    quantization: Quantization | None,
    language_check: bool,
    json_: bool,
    **options: Any,
) -> None:
    """Measure every variant and baseline on a benchmark; print the results."""
    evaluation = jobs_of(settings).evaluate(
        benchmark,
        *paths,
        runs=runs,
        results=results,
        baselines=baselines,
        index_loss=index_loss,
        storage=VectorStorage(quantization).or_else(PLAIN_STORAGE),
        language_check=language_check,
        **options,
    )
    if json_:
        print_json(evaluation.as_dict())
    else:
        print_text(evaluation.table())
        for folder, what in ((runs, "runs are"), (results, "results are")):
            if folder:
                note(f"{what} in {folder}")
    if problems := evaluation.problems():
        raise BenchmarkError("these figures cannot be right. " + " ".join(problems))


@click.group("eval")
def evaluate() -> None:
    """Measure models on benchmarks: MAP, MRR, nDCG, precision and recall.

    Each corpus is stored in a collection of its own, which searches do not see. Every ranking is
    exact and covers the whole corpus.
    """


@evaluate.command()
@click.argument("path", type=_EXISTING)
@click.option(
    "--pairs", type=PAIRS, help="Pairs of languages, such as en-en,en-es; all if left out."
)
@click.option("--split", default="validation", show_default=True, help="Part with judgements.")
@_common
def talentclef(path: Path, **common: Any) -> None:
    """Evaluate on TalentCLEF 2025 task A: PATH is its folder or zip."""
    _run("talentclef", path, **common)


@evaluate.command()
@click.argument("path", type=_EXISTING)
@click.option("--set", "set_name", metavar="NAME", help="Set to use if PATH has several.")
@_common
def melo(path: Path, **common: Any) -> None:
    """Evaluate on a MELO set.

    PATH is its folder, such as deu_q_de_c_en, or a folder or zip with one or several sets.
    """
    _run("melo", path, **common)


@evaluate.command()
@click.option(
    "--queries", required=True, type=_EXISTING, metavar="FILE", help="File of the queries."
)
@click.option("--corpus", required=True, type=_EXISTING, metavar="FILE", help="File of the corpus.")
@click.option(
    "--qrels", required=True, type=_EXISTING, metavar="FILE", help="File of the TREC judgements."
)
@click.option("--query-language", required=True, metavar="LANG", help="Language of the queries.")
@click.option("--corpus-language", required=True, metavar="LANG", help="Language of the corpus.")
@click.option(
    "--name",
    default="trec",
    show_default=True,
    help="Name of the benchmark; its corpus is stored under it.",
)
@_common
def trec(queries: Path, corpus: Path, qrels: Path, **common: Any) -> None:
    """Evaluate on a benchmark of your own: queries, a corpus and TREC judgements.

    The files of queries and corpus have tab-separated ids and titles, with or without a header.
    """
    _run("trec", queries, corpus, qrels, **common)


@evaluate.command()
@click.argument("path", type=_EXISTING)
@click.option(
    "--pairs",
    type=PAIRS,
    default="en-es,en-de",
    show_default=True,
    help="Pairs of languages: of the queries, of the corpus.",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Number of queries per pair.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="For drawing the concepts.")
@_common
def esco(path: Path, **common: Any) -> None:
    """Evaluate on an ESCO export: PATH is its folder or zip.

    Queries are preferred labels of one language, the corpus is all labels of another. Labels of
    the same occupation are relevant.
    """
    _run("esco", path, **common)


@evaluate.command()
@click.option("--pairs", type=PAIRS, help="All pairs of the sample if left out.")
@_common
def sample(**common: Any) -> None:
    """Evaluate on the shipped sample, which is too small to measure quality."""
    _run("sample", **common)


_metrics = click.option(
    "--metrics",
    type=METRICS,
    default="MAP,MRR",
    show_default=True,
    help="Metrics to show: MAP, MRR, nDCG, P@5, P@10, P@100, R@100.",
)
_trained_on = click.option(
    "--trained-on",
    type=Place(exists=True),
    help="ESCO export or TalentCLEF training pairs: also show the queries that are titles of this "
    "data separately from the others.",
)


@evaluate.command()
@click.argument("folder", type=_FOLDER)
@_metrics
@_trained_on
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex"]),
    default="text",
    show_default=True,
    help="Layout of the tables.",
)
@as_json
def leaderboard(
    folder: Path, metrics: tuple[str, ...], trained_on: Path | None, form: str, json_: bool
) -> None:
    """Print tables of all results in FOLDER, which `--results` wrote."""
    found = jobsearch.read_evaluation(folder)
    titles = jobsearch.training_titles(trained_on) if trained_on else frozenset()
    if json_:
        tables = [asdict(table) for table in found.tables(metrics, titles)]
        print_json({**found.as_dict(), "tables": tables})
    else:
        print_text(found.render(metrics, titles, form))


@evaluate.command()
@click.argument("first", type=_FOLDER)
@click.argument("second", type=_FOLDER)
@_metrics
@click.option(
    "--queries",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Number of queries to show with the largest gains, and with the largest losses, by the "
    "first metric.",
)
@as_json
def compare(first: Path, second: Path, metrics: tuple[str, ...], queries: int, json_: bool) -> None:
    """Compare the results of two systems: SECOND minus FIRST.

    Both are folders that `--results DIR` wrote, such as DIR/builtin-pretrained and
    DIR/builtin-finetuned. Each pair of languages gets a 95% bootstrap interval of the difference
    and a paired randomisation test, corrected by Holm over the pairs. Then follow the queries with
    the largest gains and losses, with both rankings.
    """
    read = jobsearch.read_evaluation
    found = read(first).compare(read(second), metrics, queries)
    if json_:
        print_json(found.as_dict())
    else:
        print_text(found.table())


@evaluate.command()
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
    help="SVG or PNG file to include, such as one from `jobsearch models plot`.",
)
@_trained_on
def report(folder: Path, out: Path, figure: Path | None, trained_on: Path | None) -> None:
    """Write an HTML page with all results in FOLDER.

    The page has tables, intervals, comparisons and diagnostics. It is one file that needs no
    network and runs no code.
    """
    titles = jobsearch.training_titles(trained_on) if trained_on else frozenset()
    jobsearch.read_evaluation(folder).report(out, figure, titles)
    print_text(out)


for _command in (validate, package, score):
    evaluate.add_command(_command)
