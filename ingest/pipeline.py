"""From a source of titles to a collection that can be searched."""

import time
from collections.abc import Generator, Set
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingest.build import (
    Builder,
    FinishedBuild,
    find_live_collection,
    find_unfinished_build,
    new_metadata,
    source_label,
)
from ingest.language_guard import check_titles
from ingest.reading import Reading, read_source
from ingest.sources.base import Source
from jobsearch.errors import InvalidInput
from jobsearch.languages import check_language
from jobsearch.models.encoder import CHUNK_SIZE, DocumentEncoder
from jobsearch.store import PointBatch, Store
from jobsearch.store.metadata import JOBS, alias_name
from jobsearch.timing import timed
from jobsearch.types import SourceInfo, VectorStorage


def encoded_points(
    reading: Reading, encoder: DocumentEncoder, run_id: str, without: Set[str] = frozenset()
) -> Generator[PointBatch, None, None]:
    """The points of what was read; every distinct text is encoded once, a little ahead.

    Close it if you do not take them all.

    Args:
        reading: what was read.
        encoder: makes the vectors.
        run_id: stored with every point.
        without: ids of points that are there already.
    """
    places: dict[str, list[int]] = {}
    for place, text in enumerate(reading.texts):
        if not without or reading.records[place].point_id not in without:
            places.setdefault(text, []).append(place)
    # Texts of similar length share a batch, so little is padded; the longest come first, so that
    # memory runs out at once if it does.
    texts = sorted(places, key=lambda text: (-len(text), text))
    batches = [texts[start : start + CHUNK_SIZE] for start in range(0, len(texts), CHUNK_SIZE)]
    with closing(encoder.encode_document_batches(batches)) as encoded:
        for batch, vectors in zip(batches, encoded, strict=True):
            rows = [row for row, text in enumerate(batch) for _ in places[text]]
            records = [reading.records[place] for text in batch for place in places[text]]
            yield PointBatch(
                ids=[record.point_id for record in records],
                vectors=vectors[rows],
                payloads=[record.payload(run_id) for record in records],
            )


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What an ingest did.

    Args:
        source, split, language: what was ingested.
        rows_read, rows_rejected: rows of the file; a row with one bad title of many is rejected.
        titles: usable titles, the two of each slash form included.
        duplicates: titles dropped because their concept or document has them already.
        distinct_texts: normalised titles that were encoded.
        points: stored for this source and split.
        total_points: in the collection.
        kept_sources: other sources whose titles were taken over.
        seconds: of the whole ingest.
        titles_per_s: ``titles`` in this time.
        collection, alias: physical name and the stable one that points at it.
        rejects_file: list of the rejects, None if there are none or none was asked for.
        language_checked: whether the titles were compared with their language.
        unchanged: the collection held all this already and nothing was done; figures about reading
            are 0.
    """

    source: str
    split: str
    language: str
    rows_read: int
    rows_rejected: int
    titles: int
    duplicates: int
    distinct_texts: int
    points: int
    total_points: int
    kept_sources: tuple[str, ...]
    seconds: float
    titles_per_s: float
    collection: str
    alias: str
    rejects_file: str | None
    language_checked: bool
    unchanged: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "kept_sources": list(self.kept_sources)}


def ingest(
    source: Source,
    language: str,
    store: Store,
    encoder: DocumentEncoder,
    *,
    namespace: str = JOBS,
    language_check: bool = True,
    storage: VectorStorage = VectorStorage(),
    max_rejects: float = 0.01,
    rejects_path: Path | None = None,
    force: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> IngestSummary:
    """Embed the titles of a source and put them into the collection of language and encoder.

    The collection is built anew beside the live one, with the titles of other sources that the live
    one holds, and takes its place only when it is complete and finds its own titles. A failure at
    any point leaves the live one as it was. If it already holds the same titles, nothing is done.

    Args:
        source: where the titles come from.
        language: one of its languages.
        store: where they go.
        encoder: makes the vectors.
        namespace: ``jobs`` is searched; corpora of benchmarks have others (``eval_namespace``).
        language_check: refuse titles that are plainly in another language.
        storage: how the vectors are kept; another than the live collection has makes a new build.
        max_rejects: share of bad rows, from 0 to 1, above which nothing is stored.
        rejects_path: JSON lines file for the bad rows.
        force: build even if nothing has changed, and drop other sources that cannot be kept.
        resume: go on with a build on a server that was interrupted, if there is one for just these
            titles: what it has is not encoded and stored again.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceError: the source cannot be read, has too many bad rows, or is in another language.
        StoreError: the store failed; ``CollectionMismatch`` if other sources would be lost.
        InvalidInput: the source has no such language.
    """
    started = time.perf_counter()
    language = check_language(language)
    if language not in source.languages:
        raise InvalidInput(
            f"{source.name} has no titles in {language}: it has {', '.join(source.languages)}"
        )
    digest = source.sha256(language)
    alias = alias_name(namespace, language, encoder.info.model, encoder.info.variant)
    with store.build_lock(alias):
        live = find_live_collection(
            store,
            alias,
            (source.name, source.split),
            language=language,
            encoder=encoder.info,
            force=force,
        )
        same = live.same
        held = (same.sha256, same.version, live.storage) if same else None
        if same and not force and held == (digest, source.version, storage):
            built = FinishedBuild(live.name or "", (*live.kept, same), live.points)
            return _summary(same, language, alias, built, started)
        with timed("read", source=source.name, language=language):
            reading = read_source(
                source, language, max_rejects=max_rejects, rejects_path=rejects_path
            )
        points = len(reading.records)
        entry = SourceInfo(source.name, source.split, source.version, digest, points)
        with timed("language check", source=source.name, language=language):
            checked = language_check and check_titles(
                reading.texts, language, where=source_label(entry)
            )
        plan = new_metadata(language, encoder.info, (entry,), storage)
        ids = frozenset(record.point_id for record in reading.records)
        begun = find_unfinished_build(store, alias, plan, ids) if resume else None
        builder = Builder(store, alias, live, plan, begun)
        there = begun.stored if begun else frozenset()
        with closing(encoded_points(reading, encoder, builder.run_id, there)) as encoded:
            built = builder.build(encoded, points, progress=progress)
    return _summary(entry, language, alias, built, started, reading, checked=checked)


def _summary(
    entry: SourceInfo,
    language: str,
    alias: str,
    built: FinishedBuild,
    started: float,
    reading: Reading | None = None,
    *,
    checked: bool = False,
) -> IngestSummary:
    """The summary; without a reading the collection was left as it is."""
    seconds = time.perf_counter() - started
    titles = reading.titles if reading else 0
    return IngestSummary(
        source=entry.source,
        split=entry.split,
        language=language,
        rows_read=reading.rows_read if reading else 0,
        rows_rejected=reading.rows_rejected if reading else 0,
        titles=titles,
        duplicates=reading.duplicates if reading else 0,
        distinct_texts=reading.distinct_texts if reading else 0,
        points=entry.points,
        total_points=built.points,
        kept_sources=tuple(source_label(s) for s in built.sources if s != entry),
        seconds=seconds,
        titles_per_s=titles / seconds,
        collection=built.name,
        alias=alias,
        rejects_file=str(reading.rejects_file) if reading and reading.rejects_file else None,
        language_checked=checked,
        unchanged=reading is None,
    )
