"""``jobsearch eval leaderboard``, ``compare`` and ``report``: what evaluations have left behind."""

from dataclasses import asdict
from pathlib import Path

import click

from jobsearch.cli.options import METRICS, Place, as_json
from jobsearch.cli.output import print_json, print_text

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
    from eval.leaderboard import tables
    from eval.results import read_cells
    from eval.side_tables import details
    from eval.tables import render

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
    from eval.compare import changes, paired_cells, tables
    from eval.compare import compare as test
    from eval.results import read_cells
    from eval.tables import render

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
