"""``jobsearch ingest``: stores titles in collections."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import jobsearch
from jobsearch.cli.options import (
    LANGUAGES,
    Command,
    Number,
    Place,
    as_json,
    cache_dir,
    jobs_of,
    language_check,
    quantization,
    with_options,
    with_settings,
)
from jobsearch.cli.output import note, print_json, print_table, with_flags
from jobsearch.errors import JobSearchError
from jobsearch.settings import Settings
from jobsearch.types import Quantization, Topology, VectorStorage

if TYPE_CHECKING:
    from ingest.pipeline import IngestSummary
    from ingest.remote import EmbedSummary, LoadSummary
    from ingest.sources import Source

_COUNT = click.IntRange(min=1)
_EXISTING = Place()
_AS_LIVE = "If left out: as for the live collection, else as the server decides."


class _Share(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4
    """The number of a part and the number of parts, such as ``2/4``."""

    name = "k/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Split and check."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", value)
        part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= part <= parts:
            self.fail(f"{value!r} is not a part: write the second of four as 2/4", param, ctx)
        return part, parts


_drop_others = click.option(
    "--drop-others",
    is_flag=True,
    help="Drop titles of other sources in the collection if they cannot be kept: another model "
    "embedded them, or their files are damaged. Without it, the command fails and names them.",
)


def _ingest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all commands that ingest a source; for :func:`_ingest_source`."""
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--max-rejects",
            type=Number(0, 1),
            default=0.01,
            show_default=True,
            help="Share of bad rows above which nothing is stored.",
        ),
        click.option(
            "--rejects",
            type=Place(file_okay=False),
            default=Path(),
            help="Folder for the files rejects-*.jsonl with the bad rows; the working directory "
            "if left out.",
        ),
        language_check,
        click.option("--force", is_flag=True, help="Build anew even if nothing has changed."),
        _drop_others,
        click.option(
            "--resume",
            is_flag=True,
            help="On a server: continue an interrupted build. (A folder keeps no interrupted "
            "build, but the cache keeps its embeddings.)",
        ),
        cache_dir,
        click.option(
            "--cache-size",
            "cache_mb",
            type=click.IntRange(min=0),
            default=2048,
            show_default=True,
            metavar="MB",
            help="Size of the cache above which old embeddings are deleted; 0 uses no cache.",
        ),
        click.option(
            "--workers",
            type=_COUNT,
            default=1,
            show_default=True,
            help="Number of processes that embed, each on its own GPU or its share of the cores.",
        ),
        quantization("as in the live collection, else none"),
        click.option(
            "--on-disk/--in-memory",
            default=None,
            help="On a server: keep full vectors on disk, or in memory. If left out: as in the "
            "live collection, else in memory.",
        ),
        click.option(
            "--shards",
            type=_COUNT,
            help=f"On a cluster: parts of a collection. {_AS_LIVE}",
        ),
        click.option(
            "--replicas", type=_COUNT, help=f"On a cluster: copies of each part. {_AS_LIVE}"
        ),
        click.option(
            "--write-consistency",
            type=_COUNT,
            help="On a cluster: copies that must confirm a write before it counts as done. "
            f"{_AS_LIVE}",
        ),
        click.option(
            "--embed-to",
            type=Place(file_okay=False),
            help="Write the embeddings into Parquet files in this folder instead of a store; "
            "`jobsearch ingest load` stores them.",
        ),
        click.option(
            "--part",
            "share",
            type=_Share(),
            default="1/1",
            show_default=True,
            help="With --embed-to: embed this share of the titles, e.g. 2/4; other processes or "
            "machines embed the other shares.",
        ),
    ]
    return with_options(as_json(with_settings(command)), options)


def _ingest_source(
    open_source: "Callable[[], Source]",
    *,
    settings: Settings,
    quantization: Quantization | None,
    on_disk: bool | None,
    shards: int | None,
    replicas: int | None,
    write_consistency: int | None,
    embed_to: Path | None,
    share: tuple[int, int],
    force: bool,
    drop_others: bool,
    resume: bool,
    json_: bool,
    **options: Any,
) -> None:
    """Ingest a source in its languages and variants, or embed it, and print the summaries."""
    jobs = jobs_of(settings)
    options["storage"] = VectorStorage(quantization, on_disk)
    if embed_to is not None:
        part, parts = share
        with _json_of_failure("embedded", json_):
            embedded = jobs.embed(open_source(), embed_to, part=part, parts=parts, **options)
        _print_embedded(embedded, json_)
        return
    options |= {"force": force, "drop_others": drop_others, "resume": resume}
    options["topology"] = Topology(shards, replicas, write_consistency)
    with _json_of_failure("ingested", json_):
        summaries = jobs.ingest_source(open_source(), **options)
    _print_summaries(summaries, json_)


@contextmanager
def _json_of_failure(key: str, json_: bool) -> Iterator[None]:
    """Print the JSON document also if the command fails: the finished work, and the error."""
    try:
        yield
    except JobSearchError as error:
        if json_:
            failure = {"type": type(error).__name__, "message": with_flags(str(error))}
            print_json({key: [summary.as_dict() for summary in error.done], "error": failure})
        raise


def _print_embedded(summaries: "list[EmbedSummary]", json_: bool) -> None:
    """A row per file."""
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


def _print_summaries(summaries: "list[IngestSummary]", json_: bool) -> None:
    """A row per language and variant."""
    if json_:
        print_json({"ingested": [summary.as_dict() for summary in summaries]})
        return
    print_table(
        [
            (
                s.alias,
                s.rows_read,
                s.rows_rejected,
                s.duplicates,
                s.distinct_texts,
                s.points,
                f"{s.seconds:.1f}",
                "unchanged" if s.unchanged else f"{s.titles_per_s:,.0f}",
            )
            for s in summaries
        ],
        headers=(
            "alias",
            "rows",
            "rejected",
            "duplicates",
            "distinct texts",
            "points",
            "seconds",
            "titles/s",
        ),
    )
    rejects = {s.rejects_file: s.file_rejected for s in summaries if s.rejects_file}
    for file, rows in rejects.items():
        note(f"{rows:,} rejected rows are listed in {file}")
    _note_dropped(summaries)


def _note_dropped(summaries: "Sequence[IngestSummary | LoadSummary]") -> None:
    for summary in summaries:
        if summary.dropped_sources:
            dropped = ", ".join(summary.dropped_sources)
            note(f"{summary.alias}: titles of other sources were dropped ({dropped})")


@click.group()
def ingest() -> None:
    """Embed titles and store them, one collection per language, model and variant.

    A collection is built beside the live one and replaces it only when it is complete. Titles of
    other sources in it are kept.
    """


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--languages", type=LANGUAGES, help="All languages of the export if left out.")
@click.option("--hidden", is_flag=True, help="Ingest hidden labels too.")
@_ingest_options
def esco(path: Path, languages: tuple[str, ...] | None, hidden: bool, **common: Any) -> None:
    """Ingest an ESCO export.

    PATH is a folder or zip with files occupations_<language>.csv, or a folder of such zips.
    """
    _ingest_source(
        partial(jobsearch.EscoSource, path, hidden=hidden, languages=languages), **common
    )


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--split", default="validation", show_default=True, help="Part to ingest.")
@click.option("--languages", type=LANGUAGES, help="All languages of the split if left out.")
@_ingest_options
def talentclef(path: Path, split: str, **common: Any) -> None:
    """Ingest the corpus elements of a TalentCLEF task A split: PATH is its folder or zip."""
    _ingest_source(partial(jobsearch.TalentClefSource, path, split), **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@click.option("--title", required=True, metavar="COLUMN", help="Column with the title.")
@click.option(
    "--language",
    metavar="LANG",
    help="Language of all titles: de, de-AT, German. With --language-column: of titles whose cell "
    "is empty.",
)
@click.option("--language-column", metavar="COLUMN", help="Column with the language of each title.")
@click.option("--concept-id", metavar="COLUMN", help="Column with the id of the concept.")
@click.option("--isco", metavar="COLUMN", help="Column with an ISCO-08 code.")
@click.option("--kind", metavar="COLUMN", help="Column with preferred, alternative or hidden.")
@click.option("--name", help="Name of the source; the file's name if left out.")
@click.option(
    "--split-titles",
    metavar="SEPARATOR",
    help='Separator of several titles in one cell, e.g. ";"; line breaks separate titles too.',
)
@_ingest_options
def table(
    path: Path,
    title: str,
    language: str | None,
    language_column: str | None,
    concept_id: str | None,
    isco: str | None,
    kind: str | None,
    name: str | None,
    split_titles: str | None,
    **common: Any,
) -> None:
    """Ingest your own table: PATH is a CSV, TSV, JSON Lines, Parquet or Excel file.

    Example: jobsearch ingest table jobs.csv --title job_title --language de --isco isco08
    """
    open_source = partial(
        jobsearch.TableSource,
        path,
        title=title,
        language=language,
        language_column=language_column,
        concept_id=concept_id,
        isco=isco,
        kind=kind,
        name=name,
        split_titles=split_titles,
    )
    _ingest_source(open_source, **common)


@ingest.command()
@click.option("--languages", type=LANGUAGES, help="en, es, de and zh if left out.")
@_ingest_options
def sample(**common: Any) -> None:
    """Ingest the sample that ships with jobsearch: 120 occupations in en, es, de and zh."""
    _ingest_source(jobsearch.SampleSource, **common)


@ingest.command()
@click.argument("path", type=_EXISTING)
@language_check
@_drop_others
@with_settings
@as_json
def load(
    path: Path, settings: Settings, language_check: bool, drop_others: bool, json_: bool
) -> None:
    """Store the files that `jobsearch ingest … --embed-to` wrote: PATH is their folder.

    All parts of a collection must be there. Some titles of each part are embedded again, to make
    sure that this model made the vectors.
    """
    with _json_of_failure("loaded", json_):
        summaries = jobs_of(settings).load(
            path, language_check=language_check, drop_others=drop_others
        )
    if json_:
        print_json({"loaded": [summary.as_dict() for summary in summaries]})
    else:
        print_table(
            [(s.alias, s.parts, s.points, s.total_points, f"{s.seconds:.1f}") for s in summaries],
            headers=("alias", "parts", "points", "points in all", "seconds"),
        )
        _note_dropped(summaries)
