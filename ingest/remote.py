"""From parts that other processes embedded to a collection that can be searched."""

import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ingest.build import Builder, find_live_collection, new_metadata, source_label
from ingest.language_guard import check_titles
from ingest.pipeline import encoded_points
from ingest.point_files import PointFile, PointFileHeader, write_point_file
from ingest.reading import Reading, read_source
from ingest.sources.base import Source
from jobsearch.errors import CollectionMismatch, InvalidInput, SourceFormatError
from jobsearch.languages import check_language
from jobsearch.models.encoder import DocumentEncoder
from jobsearch.store import PointBatch, Store
from jobsearch.store.metadata import JOBS, alias_name
from jobsearch.types import SourceInfo, VectorStorage


@dataclass(frozen=True, slots=True)
class EmbedSummary:
    """What was embedded.

    Args:
        alias: of the collection that it is part of.
        file: where it is.
        part, parts: which of how many, from 1.
        points: in the file.
        total_points: in all parts.
        seconds: of it all.
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


def embed_part(
    source: Source,
    language: str,
    encoder: DocumentEncoder,
    folder: Path,
    *,
    part: int = 1,
    parts: int = 1,
    language_check: bool = True,
    storage: VectorStorage = VectorStorage(),
    max_rejects: float = 0.01,
    rejects_path: Path | None = None,
    progress: bool = False,
) -> EmbedSummary:
    """Embed every ``parts``-th text of a source into a file in ``folder``.

    Each process reads the whole source, which is quick, and embeds its own share of the texts. So
    processes need nothing but the source and the model, and no text is embedded by two.

    Args:
        source: where the titles come from.
        language: one of its languages.
        encoder: makes the vectors.
        folder: of the files; made if need be.
        part: which one, from 1.
        parts: how many there are.
        language_check: refuse titles that are plainly in another language.
        storage: how the vectors shall be kept in the store.
        max_rejects: share of bad rows, from 0 to 1, above which nothing is written.
        rejects_path: JSON lines file for the bad rows.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceError: the source cannot be read, has too many bad rows, or is in another language;
            or the file cannot be written.
        InvalidInput: the source has no such language, or there is no such part.
    """
    started = time.perf_counter()
    language = check_language(language)
    if language not in source.languages:
        raise InvalidInput(f"{source.name} has no titles in {language}")
    if not 1 <= part <= parts:
        raise InvalidInput(f"there is no part {part} of {parts}: parts are numbered from 1")
    reading = read_source(source, language, max_rejects=max_rejects, rejects_path=rejects_path)
    total = len(reading.records)
    entry = SourceInfo(source.name, source.split, source.version, source.sha256(language), total)
    if language_check:
        check_titles(reading.texts, language, where=source_label(entry))
    alias = alias_name(JOBS, language, encoder.info.model, encoder.info.variant)
    plan = new_metadata(language, encoder.info, (entry,), storage)
    header = PointFileHeader(alias, plan, part, parts)
    share = _share(reading, part, parts)
    path = folder / header.file_name
    with (
        tqdm(total=len(share.records), desc=path.name, disable=None if progress else True) as bar,
        closing(encoded_points(share, encoder, run_id="")) as encoded,
    ):
        batches = (batch for batch in encoded if bar.update(len(batch)) or True)
        points = write_point_file(path, header, batches)
    seconds = time.perf_counter() - started
    return EmbedSummary(alias, str(path), part, parts, points, total, seconds)


def _share(reading: Reading, part: int, parts: int) -> Reading:
    """What one process embeds: all records of a text together."""
    mine = [
        i for i, text in enumerate(reading.texts) if zlib.crc32(text.encode()) % parts == part - 1
    ]
    return replace(
        reading,
        records=[reading.records[i] for i in mine],
        texts=[reading.texts[i] for i in mine],
    )


# Titles of each part whose language and vectors are compared with what is announced.
_CHECKED_TITLES = 200
_MIN_SAME_TITLE_COSINE = 0.999
_NAMED_PARTS = 8


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What a load did.

    Args:
        alias, collection: stable name, and the physical one that it points at.
        parts: files.
        points: stored from them.
        total_points: in the collection, those of other sources included.
        seconds: of the whole load.
    """

    alias: str
    collection: str
    parts: int
    points: int
    total_points: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def load_parts(
    parts: Sequence[PointFile],
    store: Store,
    encoder: DocumentEncoder,
    *,
    language_check: bool = True,
    force: bool = False,
    progress: bool = False,
) -> LoadSummary:
    """Store all parts of one collection, and those points of other sources that it holds.

    Nothing that a file says is believed: the encoder must be the one that it names, some titles of
    each part are embedded again and must give the vector that is there, and their language is
    checked as an ingest does.

    Args:
        parts: all of one alias.
        store: where they go.
        encoder: the one that made the vectors.
        language_check: refuse titles that are plainly in another language.
        force: rather lose other sources than fail.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceFormatError: a part is missing or there twice, or the parts do not belong together.
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
            f"{plan.encoder.variant} than the one at hand: load it where that model is, or embed "
            "the titles again"
        )
    for part in parts:
        _check_sample(part, encoder, language_check=language_check)
    [source] = plan.sources
    with store.build_lock(header.alias):
        live = find_live_collection(
            store,
            header.alias,
            (source.source, source.split),
            language=plan.language,
            encoder=plan.encoder,
            force=force,
        )
        builder = Builder(store, header.alias, live, plan)
        points = _points(parts, builder.run_id)
        built = builder.build(points, source.points, progress=progress)
    seconds = time.perf_counter() - started
    return LoadSummary(header.alias, built.name, len(parts), source.points, built.points, seconds)


def _whole(parts: Sequence[PointFile]) -> PointFileHeader:
    """The header that all parts share, if they are all there."""
    first = parts[0].header
    numbers = [part.header.part for part in parts]
    for part in parts:
        if _identity(part.header) != _identity(first):
            raise SourceFormatError(
                f"{part.path} and {parts[0].path} are not parts of one whole: embed both from the "
                "same source with the same model, or load them from folders of their own"
            )
    if first.parts != len(parts) or len(set(numbers)) != len(parts):
        # A file may announce any number of parts: only the first that are missing are looked for.
        wanted = range(1, min(first.parts, len(parts) + _NAMED_PARTS) + 1)
        missing = sorted(set(wanted) - set(numbers))[:_NAMED_PARTS]
        problem = f"lacks part {', '.join(map(str, missing))}" if missing else "has a part twice"
        raise SourceFormatError(
            f"{parts[0].path.parent} {problem} of {first.parts} of {first.alias}: nothing was "
            "stored, embed what is missing"
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
            f"the {len(parts)} parts of {first.alias} have {points:,} points, {source.points:,} "
            "announced: embed the titles again"
        )
    return first


def _identity(header: PointFileHeader) -> tuple[object, ...]:
    made_of = header.metadata
    return (
        header.alias,
        header.parts,
        made_of.language,
        made_of.encoder,
        made_of.sources,
        made_of.storage,
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
            f"{part.path} has another vector for {wrong!r} than the model gives: it mixes up "
            "titles, or another model made it. Embed the titles again"
        )


def _points(parts: Sequence[PointFile], run_id: str) -> Iterator[PointBatch]:
    for part in parts:
        for batch in part.batches():
            payloads = [{**payload, "run_id": run_id} for payload in batch.payloads]
            yield PointBatch(batch.ids, batch.vectors, payloads)
