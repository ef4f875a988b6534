"""``jobsearch ingest``: titles into collections."""

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import (
    LANGUAGES,
    Place,
    as_json,
    cache_dir,
    quantization,
    with_options,
    with_settings,
)
from jobsearch.cli.output import bars_wanted, note, print_json, print_table
from jobsearch.settings import Settings
from jobsearch.types import Quantization, Topology, VectorStorage

if TYPE_CHECKING:
    from ingest.pipeline import IngestSummary
    from ingest.remote import EmbedSummary
    from ingest.sources.base import Source
    from jobsearch.models.encoder import DocumentEncoder


_COUNT = click.IntRange(min=1)


class _Part(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4
    """Which part of how many, such as ``2/4``."""

    name = "k/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Split and check."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", value)
        part, parts = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= part <= parts:
            self.fail(f"{value!r} is no part: write the second of four as 2/4", param, ctx)
        return part, parts


def ingest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all commands that ingest a source take; for :func:`ingest_source`."""
    options = [
        click.option(
            "--max-rejects",
            type=click.FloatRange(0, 1),
            default=0.01,
            show_default=True,
            help="Share of bad rows above which nothing is stored.",
        ),
        click.option(
            "--rejects",
            type=Place(file_okay=False),
            default=Path(),
            help="Folder for rejects-*.jsonl with the bad rows, if any; the working directory "
            "if left out.",
        ),
        click.option(
            "--language-check",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="Refuse titles that are plainly in another language than they should be.",
        ),
        click.option("--force", is_flag=True, help="Build anew even if nothing has changed."),
        click.option(
            "--resume",
            is_flag=True,
            help="On a server: go on with a build that was interrupted. (In a folder nothing is "
            "left of it but the cache, which every ingest uses.)",
        ),
        cache_dir,
        click.option(
            "--cache-size",
            type=click.IntRange(min=0),
            default=2048,
            show_default=True,
            metavar="MB",
            help="Size above which the oldest embeddings go; 0 keeps none.",
        ),
        click.option(
            "--workers",
            type=_COUNT,
            default=1,
            show_default=True,
            help="Processes that embed: each on a GPU of its own, or on its share of the cores.",
        ),
        quantization,
        click.option(
            "--on-disk", is_flag=True, help="On a server: keep the vectors themselves on disk."
        ),
        click.option("--shards", type=_COUNT, help="On a cluster: parts of a collection."),
        click.option("--replicas", type=_COUNT, help="On a cluster: copies of each part."),
        click.option(
            "--write-consistency",
            type=_COUNT,
            help="On a cluster: copies that must have taken a write before it counts as done.",
        ),
        click.option(
            "--embed-to",
            type=Place(file_okay=False),
            help="Write the embeddings into Parquet files in this folder instead of a store; "
            "`jobsearch ingest load` stores them.",
        ),
        click.option(
            "--part",
            type=_Part(),
            default="1/1",
            show_default=True,
            help="With --embed-to: embed this share of the titles, e.g. 2/4; other processes or "
            "machines embed the others.",
        ),
    ]
    return with_options(as_json(with_settings(command)), options)


def ingest_source(
    source: "Source",
    *,
    settings: Settings,
    max_rejects: float,
    rejects: Path,
    language_check: str,
    force: bool,
    resume: bool,
    cache_dir: Path | None,
    cache_size: int,
    workers: int,
    quantization: Quantization,
    on_disk: bool,
    shards: int | None,
    replicas: int | None,
    write_consistency: int | None,
    embed_to: Path | None,
    part: tuple[int, int],
    json_: bool,
    languages: tuple[str, ...] | None = None,
) -> None:
    """Ingest a source in every language and variant, or embed it, and print the summaries."""
    from ingest.pipeline import ingest
    from ingest.remote import embed_part
    from jobsearch.cli.session import store_of

    def options(language: str) -> dict[str, Any]:
        return {
            "language_check": language_check == "on",
            "storage": VectorStorage(quantization, on_disk),
            "max_rejects": max_rejects,
            "rejects_path": rejects / f"rejects-{source.name}-{language}.jsonl",
            "progress": bars_wanted(),
        }

    if embed_to is not None:
        work = _encoders(source, settings, languages, cache_dir, cache_size, workers)
        embedded = [
            embed_part(
                source,
                language,
                encoder,
                embed_to,
                part=part[0],
                parts=part[1],
                **options(language),
            )
            for language, encoder in work
        ]
        print_embedded(embedded, json_=json_)
        return
    store = store_of(settings, Topology(shards, replicas, write_consistency))
    work = _encoders(source, settings, languages, cache_dir, cache_size, workers)
    ingested = [
        ingest(source, language, store, encoder, force=force, resume=resume, **options(language))
        for language, encoder in work
    ]
    print_summaries(ingested, json_=json_)


def _encoders(
    source: "Source",
    settings: Settings,
    languages: tuple[str, ...] | None,
    cache_dir: Path | None,
    cache_mb: int,
    workers: int,
) -> Iterator[tuple[str, "DocumentEncoder"]]:
    """Every language of the source that is wanted, with the encoder of every variant."""
    from jobsearch.cli.session import ingest_encoder, variants_to_build

    chosen = source.languages if languages is None else languages
    unknown = [language for language in chosen if language not in source.languages]
    if unknown:
        raise click.BadParameter(
            f"{source.name} has no titles in {', '.join(unknown)}, only in "
            f"{', '.join(source.languages)}",
            param_hint="--languages",
        )
    for variant in variants_to_build(settings):
        with ingest_encoder(
            settings, variant, cache_dir=cache_dir, cache_mb=cache_mb, workers=workers
        ) as encoder:
            for language in chosen:
                yield language, encoder


def print_embedded(summaries: "list[EmbedSummary]", *, json_: bool) -> None:
    """One row a file."""
    if json_:
        print_json({"embedded": [summary.as_dict() for summary in summaries]})
        return
    print_table(
        [
            (s.file, f"{s.part}/{s.parts}", s.points, s.total_points, f"{s.seconds:.1f}")
            for s in summaries
        ],
        headers=("file", "part", "points", "of", "seconds"),
    )


def print_summaries(summaries: "list[IngestSummary]", *, json_: bool) -> None:
    """One row a language and variant."""
    if json_:
        print_json({"ingested": [summary.as_dict() for summary in summaries]})
        return
    print_table(
        [
            (
                s.alias,
                s.rows_read,
                s.rows_rejected,
                s.distinct_texts,
                s.points,
                f"{s.seconds:.1f}",
                "unchanged" if s.unchanged else f"{s.titles_per_s:,.0f}",
            )
            for s in summaries
        ],
        headers=("alias", "rows", "rejected", "distinct texts", "points", "seconds", "titles/s"),
    )
    for summary in summaries:
        if summary.rejects_file:
            note(f"{summary.rows_rejected} rejected rows are listed in {summary.rejects_file}")


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
    from ingest.point_files import find_point_files
    from ingest.remote import load_parts
    from jobsearch.cli.session import encoder_of, store_of

    store = store_of(settings)
    summaries = []
    for alias, found in groupby(find_point_files(path), key=lambda part: part.header.alias):
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
