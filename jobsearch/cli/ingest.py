"""``jobsearch ingest``: titles into collections."""

from itertools import groupby
from pathlib import Path
from typing import Any

import click

from jobsearch.cli.ingesting import ingest_options, ingest_source
from jobsearch.cli.options import LANGUAGES, Place, as_json, with_settings
from jobsearch.cli.output import bars_wanted, note, print_json, print_table
from jobsearch.settings import Settings

_EXISTING = Place()


@click.group()
def ingest() -> None:
    """Embed titles and store them, one collection a language, model and variant.

    A collection is built beside the live one and replaces it only when it is complete; titles of
    other sources in it are kept.
    """


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--languages", type=LANGUAGES, help="All that the export has if left out.")
@click.option("--hidden", is_flag=True, help="Hidden labels too.")
@ingest_options
def esco(path: Path, languages: tuple[str, ...] | None, hidden: bool, **common: Any) -> None:
    """Ingest an ESCO export: PATH is a folder or zip with occupations_<language>.csv files."""
    from ingest.sources import EscoSource

    ingest_source(EscoSource(path, hidden=hidden, languages=languages), **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--split", default="validation", show_default=True, help="Part to ingest.")
@click.option("--languages", type=LANGUAGES, help="All that the split has if left out.")
@ingest_options
def talentclef(path: Path, split: str, languages: tuple[str, ...] | None, **common: Any) -> None:
    """Ingest the corpus elements of a TalentCLEF task A split: PATH is its folder or zip."""
    from ingest.sources import TalentClefSource

    ingest_source(TalentClefSource(path, split), languages=languages, **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--title", required=True, metavar="COLUMN", help="Column with the title.")
@click.option("--language", metavar="CODE", help="Language of all titles; or:")
@click.option("--language-column", metavar="COLUMN", help="Column with the language code.")
@click.option("--concept-id", metavar="COLUMN", help="Column with the id of what it denotes.")
@click.option("--isco", metavar="COLUMN", help="Column with an ISCO-08 code.")
@click.option("--kind", metavar="COLUMN", help="Column with preferred, alternative or hidden.")
@click.option("--name", help="Name of the source; the file's name if left out.")
@ingest_options
def table(
    path: Path,
    title: str,
    language: str | None,
    language_column: str | None,
    concept_id: str | None,
    isco: str | None,
    kind: str | None,
    name: str | None,
    **common: Any,
) -> None:
    """Ingest your own table: PATH is a CSV, TSV, JSON Lines or Parquet file.

    Example: jobsearch ingest table jobs.csv --title job_title --language de --isco isco08
    """
    from ingest.sources import TableSource

    source = TableSource(
        path,
        title=title,
        language=language,
        language_column=language_column,
        concept_id=concept_id,
        isco=isco,
        kind=kind,
        name=name,
    )
    ingest_source(source, **common)


@ingest.command()
@click.option("--languages", type=LANGUAGES, help="en, es, de and zh if left out.")
@ingest_options
def sample(languages: tuple[str, ...] | None, **common: Any) -> None:
    """Ingest the sample that ships with jobsearch: 120 occupations in en, es, de and zh."""
    from ingest.sources import SampleSource

    ingest_source(SampleSource(), languages=languages, **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option(
    "--language-check",
    type=click.Choice(["on", "off"]),
    default="on",
    show_default=True,
    help="Refuse titles that are plainly in another language than they should be.",
)
@click.option("--force", is_flag=True, help="Drop other sources that cannot be kept.")
@with_settings
@as_json
def load(path: Path, settings: Settings, language_check: str, force: bool, json_: bool) -> None:
    """Store what `jobsearch ingest … --embed-to` wrote: PATH is a folder of Parquet files.

    All parts of a collection must be there. Some titles of each are embedded again, to make sure
    that this model made them.
    """
    from ingest.load import load_parts
    from ingest.parts import find_parts
    from jobsearch.cli.session import encoder_of, store_of

    store = store_of(settings)
    summaries = []
    for alias, found in groupby(find_parts(path), key=lambda part: part.header.alias):
        parts = list(found)
        variant = parts[0].header.metadata.encoder.variant
        note(f"loading {settings.model} {variant} for {alias}")
        summaries.append(
            load_parts(
                parts,
                store,
                encoder_of(settings, variant),
                language_check=language_check == "on",
                force=force,
                progress=bars_wanted(),
            )
        )
    if json_:
        print_json({"loaded": [summary.as_dict() for summary in summaries]})
    else:
        print_table(
            [(s.alias, s.parts, s.points, s.total_points, f"{s.seconds:.1f}") for s in summaries],
            headers=("alias", "parts", "points", "points in all", "seconds"),
        )
