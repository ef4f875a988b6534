"""``jobsearch ingest``: titles into collections."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import LANGUAGES, as_json, cache_dir, with_options, with_settings
from jobsearch.cli.output import note, print_json, print_table
from jobsearch.settings import Settings
from jobsearch.types import QUANTIZATIONS, Quantization, Topology, VectorStorage

if TYPE_CHECKING:
    from ingest.pipeline import IngestSummary
    from ingest.sources.base import Source

_EXISTING = click.Path(path_type=Path)
_COUNT = click.IntRange(min=1)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
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
            type=click.Path(path_type=Path, file_okay=False),
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
            "--quantization",
            type=click.Choice(QUANTIZATIONS),
            default="none",
            show_default=True,
            help="What the index compares at first: a byte or a bit a number saves memory, and the "
            "best are compared again by the vectors themselves. (A folder's collections have no "
            "index up to 50,000 titles.)",
        ),
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
    ]
    return with_options(as_json(with_settings(command)), options)


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
@_common
def esco(path: Path, languages: tuple[str, ...] | None, hidden: bool, **common: Any) -> None:
    """Ingest an ESCO export: PATH is a folder or zip with occupations_<language>.csv files."""
    from ingest.sources import EscoSource

    _run(EscoSource(path, hidden=hidden, languages=languages), **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--split", default="validation", show_default=True, help="Part to ingest.")
@click.option("--languages", type=LANGUAGES, help="All that the split has if left out.")
@_common
def talentclef(path: Path, split: str, languages: tuple[str, ...] | None, **common: Any) -> None:
    """Ingest the corpus elements of a TalentCLEF task A split: PATH is its folder or zip."""
    from ingest.sources import TalentClefSource

    _run(TalentClefSource(path, split), languages=languages, **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--title", required=True, metavar="COLUMN", help="Column with the title.")
@click.option("--language", metavar="CODE", help="Language of all titles; or:")
@click.option("--language-column", metavar="COLUMN", help="Column with the language code.")
@click.option("--concept-id", metavar="COLUMN", help="Column with the id of what it denotes.")
@click.option("--isco", metavar="COLUMN", help="Column with an ISCO-08 code.")
@click.option("--kind", metavar="COLUMN", help="Column with preferred, alternative or hidden.")
@click.option("--name", help="Name of the source; the file's name if left out.")
@_common
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
    _run(source, **common)


@ingest.command()
@click.option("--languages", type=LANGUAGES, help="en, es, de and zh if left out.")
@_common
def sample(languages: tuple[str, ...] | None, **common: Any) -> None:
    """Ingest the sample that ships with jobsearch: 120 occupations in en, es, de and zh."""
    from ingest.sources import SampleSource

    _run(SampleSource(), languages=languages, **common)


def _run(
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
    quantization: Quantization,
    on_disk: bool,
    shards: int | None,
    replicas: int | None,
    write_consistency: int | None,
    json_: bool,
    languages: tuple[str, ...] | None = None,
) -> None:
    """Ingest a source in every language and variant, and print the summaries."""
    from ingest.pipeline import ingest as ingest_titles
    from jobsearch.cli.session import cached, encoder_of, store_of, variants_to_build

    store = store_of(settings, Topology(shards, replicas, write_consistency))
    chosen = source.languages if languages is None else languages
    unknown = [language for language in chosen if language not in source.languages]
    if unknown:
        raise click.BadParameter(
            f"{source.name} has no titles in {', '.join(unknown)}, only in "
            f"{', '.join(source.languages)}",
            param_hint="--languages",
        )
    summaries: list[IngestSummary] = []
    for variant in variants_to_build(settings):
        note(f"loading {settings.model} {variant}")
        with cached(encoder_of(settings, variant), cache_dir, cache_size) as encoder:
            summaries += [
                ingest_titles(
                    source,
                    language,
                    store,
                    encoder,
                    language_check=language_check == "on",
                    storage=VectorStorage(quantization, on_disk),
                    max_rejects=max_rejects,
                    rejects_path=rejects / f"rejects-{source.name}-{language}.jsonl",
                    force=force,
                    resume=resume,
                    progress=True,
                )
                for language in chosen
            ]
    print_summaries(summaries, json_=json_)


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
