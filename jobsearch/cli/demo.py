"""``jobsearch demo``: the whole path on the sample that ships with jobsearch."""

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
        "Find the English titles of a German one, among the professionals (ISCO major group 2).",
        ("search", "Krankenschwester", "--to", "en", "--isco", "2", "--top", "5"),
    ),
    (
        "Measure how well it does that, on the sample's own small benchmark.",
        ("eval", "sample"),
    ),
)


@click.command()
@click.option(
    "--store",
    default=".demo",
    show_default=True,
    type=Place(path_type=str, file_okay=False),
    help="Folder of the demo's store; delete it when you like.",
)
def demo(store: str) -> None:
    """Ingest the shipped sample, search it in another language, and evaluate on it."""
    from jobsearch.cli import main

    for what, words in _STEPS:
        note(f"\n{what}\n$ jobsearch {shlex.join([*words, '--store', store])}")
        exit_code = main.main([*words, "--store", store], standalone_mode=False)
        if exit_code:
            raise click.exceptions.Exit(exit_code)
    note(
        "\nThe sample's figures say nothing about real quality. Next, with real titles:\n"
        "  jobsearch ingest esco PATH     an ESCO export\n"
        "  jobsearch ingest table PATH    your own CSV, TSV, JSON Lines or Parquet file\n"
        "  jobsearch eval talentclef PATH"
    )
