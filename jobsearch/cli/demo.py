"""``jobsearch demo``: ingest, search and evaluation with the sample that ships with jobsearch."""

import shlex

import click

from jobsearch.cli.options import Place
from jobsearch.cli.output import note

_STEPS = (
    (
        "Store the sample: 120 occupations in English, Spanish, German and Chinese.",
        ("ingest", "sample"),
    ),
    (
        "Find English titles for a German one, among professionals (ISCO major group 2).",
        ("search", "Krankenschwester", "--to", "en", "--isco", "2", "--top", "5"),
    ),
    (
        "Measure the quality of the search on the sample's small benchmark.",
        ("eval", "sample"),
    ),
)


@click.command()
@click.option(
    "--store",
    default=".demo",
    show_default=True,
    type=Place(path_type=str, file_okay=False),
    help="Folder for the demo's store; it may be deleted afterwards.",
)
def demo(store: str) -> None:
    """Ingest the sample that ships with jobsearch, search it, and evaluate on it."""
    from jobsearch.cli import main

    for purpose, words in _STEPS:
        note(f"\n{purpose}\n$ jobsearch {shlex.join([*words, '--store', store])}")
        exit_code = main.main([*words, "--store", store], standalone_mode=False)
        if exit_code:
            raise click.exceptions.Exit(exit_code)
    note(
        "\nThe sample is too small to measure quality. Next, with real titles:\n"
        "  jobsearch ingest esco PATH     an ESCO export\n"
        "  jobsearch ingest table PATH    your own CSV, TSV, JSON Lines, Parquet or Excel file\n"
        "  jobsearch eval talentclef PATH"
    )
