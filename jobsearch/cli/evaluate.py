"""``jobsearch eval``: benchmarks measured through the store."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import PAIRS, as_json, with_settings
from jobsearch.cli.output import note, print_json
from jobsearch.settings import Settings

if TYPE_CHECKING:
    from eval.benchmarks import Benchmark

_EXISTING = click.Path(path_type=Path)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--runs",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder for the TREC run files; none are written if left out.",
        ),
        click.option(
            "--language-check",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="Refuse queries or documents that are plainly in another language than they "
            "should be.",
        ),
    ]
    command = as_json(with_settings(command))
    for option in reversed(options):
        command = option(command)
    return command


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
    from eval.talentclef import talentclef as load

    _run(load(path, pairs, split), **common)


@evaluate.command()
@click.argument("path", type=_EXISTING)
@_common
def melo(path: Path, **common: Any) -> None:
    """Evaluate on a MELO set: PATH is its folder, such as deu_q_de_c_en."""
    from eval.melo import melo as load

    _run([load(path)], **common)


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
    from eval.esco_probe import esco_probe

    _run([esco_probe(path, *pair.split("-"), size=size, seed=seed) for pair in pairs], **common)


@evaluate.command()
@click.option("--pairs", type=PAIRS, help="All that the sample has if left out.")
@_common
def sample(pairs: tuple[str, ...] | None, **common: Any) -> None:
    """Evaluate on the sample that ships with jobsearch; its figures say nothing about quality."""
    from eval.talentclef import sample as load

    _run(load(pairs), **common)


def _run(
    benchmarks: "Sequence[Benchmark]",
    *,
    settings: Settings,
    runs: Path | None,
    language_check: str,
    json_: bool,
) -> None:
    """Evaluate every variant on every benchmark, and print the cells or the leaderboard."""
    from eval.leaderboard import render
    from eval.runner import evaluate as measure
    from jobsearch.cli.session import encoder_of, store_of, variants_to_build

    store = store_of(settings)
    cells = []
    for variant in variants_to_build(settings):
        note(f"loading {settings.model} {variant}")
        encoder = encoder_of(settings, variant)
        cells += [
            measure(
                benchmark,
                store,
                encoder,
                runs_dir=runs,
                language_check=language_check == "on",
                progress=True,
            )
            for benchmark in benchmarks
        ]
    if json_:
        print_json({"cells": [cell.as_dict() for cell in cells]})
        return
    click.echo(render(cells))
    if runs:
        note(f"runs are in {runs}")
