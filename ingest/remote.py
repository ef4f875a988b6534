"""Embeds titles in one place and stores them in another, by way of point files.

Several processes or machines embed a share of a source each (:func:`embed_languages`); one process
stores all shares in a collection (:func:`load_parts`).
"""

import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ingest.build import Builder, find_live_collection, new_metadata
from ingest.language_guard import check_titles
from ingest.pipeline import encoded_points, naming_what_is_done
from ingest.point_files import PointFile, PointFileHeader, write_point_file
from ingest.reading import Reading
from ingest.source_titles import NoTitles, SourceTitles, read_files
from ingest.sources.base import Source
from jobsearch.errors import CollectionMismatch, InvalidInput, SourceFormatError
from jobsearch.models.encoder import DocumentEncoder
from jobsearch.store import PointBatch, Store
from jobsearch.store.metadata import JOBS, alias_name
from jobsearch.types import VectorStorage

# Titles of each point file whose language and vectors are compared with its header.
_CHECKED_TITLES = 200
_MIN_SAME_TITLE_COSINE = 0.999
# Missing parts that a message lists.
_LISTED_PARTS = 8


@dataclass(frozen=True, slots=True)
class EmbedSummary:
    """The outcome of embedding one share of a language.

    Args:
        alias: of the collection that the file is a part of.
        file: path of the file.
        part, parts: number of the file, from 1, and number of files.
        points: in the file.
        total_points: in all files together.
        seconds: duration.
    """

    alias: str
    file: str
    part: int
    parts: int
    points: int
    total_points: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def embed_languages(
    source: Source,
    languages: Sequence[str] | None,
    encoders: Sequence[DocumentEncoder],
    folder: Path,
    *,
    part: int = 1,
    parts: int = 1,
    language_check: bool = True,
    storage: VectorStorage | None = None,
    max_rejects: float = 0.01,
    rejects: Path | None = None,
    progress: bool = False,
) -> list[EmbedSummary]:
    """Embed every ``parts``-th text of a source into files in ``folder``.

    Each process reads the whole source, which is quick, and embeds its own share of the texts. So
    processes need only the source and the model, and no text is embedded twice. Each file is read,
    deduplicated and checked once, for all its languages and all encoders.

    Args:
        source: the data set.
        languages: languages to embed; all languages of the source if None.
        encoders: make the vectors, each for files of its own.
        folder: of the files; created if needed.
        part: number of this share, from 1.
        parts: number of shares.
        language_check: refuse titles that are plainly in another language.
        storage: how the store will keep the vectors. Values that are left out will be those of the
            collection into which the files are loaded.
        max_rejects: share of bad rows, from 0 to 1, above which nothing is written.
        rejects: folder for files with the bad rows; no file is written if None.
        progress: draw a bar on the standard error, if that is a terminal.

    Returns:
        A summary per encoder and language, in the order of the encoders.

    Raises:
        SourceError: the source cannot be read, has too many bad rows, or is in another language;
            or a file cannot be written. Files that were written before stay: the message names
            them, and ``done`` of the error has their summaries.
        InvalidInput: the source lacks a language, or the number of the part is out of range.
    """
    if not 1 <= part <= parts:
        raise InvalidInput(f"there is no part {part} of {parts}: parts are numbered from 1")
    summaries: list[list[EmbedSummary]] = [[] for _ in encoders]
    storage = storage or VectorStorage()
    left_out = (NoTitles,) if languages is None else ()
    with naming_what_is_done(summaries, "written", lambda summary: summary.file):
        for titles in read_files(
            source,
            languages,
            language_check=language_check,
            max_rejects=max_rejects,
            rejects=rejects,
        ):
            for encoder, done in zip(encoders, summaries, strict=True):
                with suppress(*left_out):
                    summary = _embed(
                        titles, encoder, folder, part, parts, storage, progress=progress
                    )
                    done.append(summary)
    return [summary for done in summaries for summary in done]


def _embed(
    titles: SourceTitles,
    encoder: DocumentEncoder,
    folder: Path,
    part: int,
    parts: int,
    storage: VectorStorage,
    *,
    progress: bool,
) -> EmbedSummary:
    started = time.perf_counter()
    entry = titles.info
    _ = titles.language_checked
    alias = alias_name(JOBS, titles.language, encoder.info.model, encoder.info.variant)
    plan = new_metadata(titles.language, encoder.info, (entry,), storage)
    header = PointFileHeader(alias, plan, part, parts)
    share = _share(titles.reading, part, parts)
    path = folder / header.file_name
    with (
        tqdm(total=len(share.records), desc=path.name, disable=None if progress else True) as bar,
        closing(encoded_points(share, encoder, run_id="")) as encoded,
    ):
        batches = (batch for batch in encoded if bar.update(len(batch)) or True)
        points = write_point_file(path, header, batches)
    seconds = time.perf_counter() - started
    return EmbedSummary(alias, str(path), part, parts, points, entry.points, seconds)


def _share(reading: Reading, part: int, parts: int) -> Reading:
    """The records of one part: all records with the same text are in the same part."""
    places = [
        place
        for place, text in enumerate(reading.texts)
        if zlib.crc32(text.encode()) % parts == part - 1
    ]
    return replace(
        reading,
        records=[reading.records[place] for place in places],
        texts=[reading.texts[place] for place in places],
        ids=[reading.ids[place] for place in places],
    )


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """The outcome of a load.

    Args:
        alias, collection: alias, and physical name of the collection that it points at.
        parts: number of files.
        points: stored from the files.
        total_points: in the collection, including other sources.
        dropped_sources: other sources whose titles could not be kept and were dropped.
        seconds: duration.
    """

    alias: str
    collection: str
    parts: int
    points: int
    total_points: int
    dropped_sources: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "dropped_sources": list(self.dropped_sources)}


def load_parts(
    parts: Sequence[PointFile],
    store: Store,
    encoder: DocumentEncoder,
    *,
    language_check: bool = True,
    drop_others: bool = False,
    directory: str | None = None,
    progress: bool = False,
) -> LoadSummary:
    """Store all parts of one collection, with the points of other sources that it holds.

    The files are not trusted: the encoder must be the one that they name, some titles of each part
    are embedded again and must give the stored vector, and their language is checked as in an
    ingest.

    Args:
        parts: all point files of one alias.
        store: receives the points.
        encoder: the encoder that made the vectors.
        language_check: refuse titles that are plainly in another language.
        drop_others: lose other sources that cannot be kept, instead of failing.
        directory: see :func:`ingest.pipeline.ingest`.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceFormatError: a part is missing or given twice, or the parts do not belong together.
        LanguageMismatch: the titles are in another language.
        CollectionMismatch: another encoder made the vectors, or other sources would be lost.
        StoreError: the store failed.
    """
    started = time.perf_counter()
    header = _whole(parts)
    plan = header.metadata
    if plan.encoder != encoder.info:
        raise CollectionMismatch(
            f"{parts[0].path} was embedded by another {plan.encoder.model} "
            f"{plan.encoder.variant} than the one on this machine: load it on a machine with that "
            "model, or embed the titles again"
        )
    for part in parts:
        _check_sample(part, encoder, language_check=language_check)
    [source] = plan.sources
    with store.build_lock(header.alias):
        live = find_live_collection(
            store,
            header.alias,
            (source.source, source.split),
            origin=source.origin,
            language=plan.language,
            encoder=plan.encoder,
            directory=directory,
            drop_others=drop_others,
        )
        storage = plan.storage.or_else(live.storage)
        plan = replace(plan, storage=storage, directory=directory)
        builder = Builder(store, header.alias, live, plan)
        points = _points(parts, builder.run_id)
        built = builder.build(points, source.points, progress=progress)
    seconds = time.perf_counter() - started
    return LoadSummary(
        alias=header.alias,
        collection=built.name,
        parts=len(parts),
        points=source.points,
        total_points=built.points,
        dropped_sources=live.dropped,
        seconds=seconds,
    )


def _whole(parts: Sequence[PointFile]) -> PointFileHeader:
    """The header that all parts share, if no part is missing."""
    first = parts[0].header
    numbers = [part.header.part for part in parts]
    for part in parts:
        if _identity(part.header) != _identity(first):
            raise SourceFormatError(
                f"{part.path} and {parts[0].path} are parts of different collections: embed both "
                "from the same source with the same model, or load them from separate folders"
            )
    if first.parts != len(parts) or len(set(numbers)) != len(parts):
        # A file may claim any number of parts: only the first missing ones are searched.
        wanted = range(1, min(first.parts, len(parts) + _LISTED_PARTS) + 1)
        missing = sorted(set(wanted) - set(numbers))[:_LISTED_PARTS]
        problem = f"lacks part {', '.join(map(str, missing))}" if missing else "has a part twice"
        raise SourceFormatError(
            f"{parts[0].path.parent} {problem} of {first.parts} of {first.alias}: nothing was "
            "stored, embed the missing parts"
        )
    if len(first.metadata.sources) != 1:
        raise SourceFormatError(
            f"{parts[0].path} is a snapshot of {len(first.metadata.sources)} sources: "
            "`jobsearch collections restore` takes it"
        )
    [source] = first.metadata.sources
    points = sum(part.points for part in parts)
    if points != source.points:
        raise SourceFormatError(
            f"the {len(parts)} parts of {first.alias} have {points:,} points, their headers say "
            f"{source.points:,}: embed the titles again"
        )
    return first


def _identity(header: PointFileHeader) -> tuple[object, ...]:
    content = header.metadata
    return (
        header.alias,
        header.parts,
        content.language,
        content.encoder,
        content.sources,
        content.storage,
    )


def _check_sample(part: PointFile, encoder: DocumentEncoder, *, language_check: bool) -> None:
    sample = next(part.batches(), None)
    if sample is None:
        return
    titles = [payload["title"] for payload in sample.payloads[:_CHECKED_TITLES]]
    if language_check:
        check_titles(titles, part.header.metadata.language, where=str(part.path))
    cosines = np.sum(encoder.encode_documents(titles) * sample.vectors[: len(titles)], axis=1)
    if not (cosines > _MIN_SAME_TITLE_COSINE).all():
        wrong = titles[int(np.argmin(cosines))]
        raise CollectionMismatch(
            f"{part.path} has another vector for {wrong!r} than the model gives: its titles are "
            "mixed up, or another model made it. Embed the titles again"
        )


def _points(parts: Sequence[PointFile], run_id: str) -> Iterator[PointBatch]:
    for part in parts:
        for batch in part.batches():
            payloads = [{**payload, "run_id": run_id} for payload in batch.payloads]
            yield PointBatch(batch.ids, batch.vectors, payloads)
