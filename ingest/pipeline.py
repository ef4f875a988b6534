"""Ingests a source: reads its titles, embeds them, and stores them in collections."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ingest.build import (
    Builder,
    FinishedBuild,
    LiveCollection,
    find_live_collection,
    find_unfinished_build,
    new_metadata,
    source_label,
)
from ingest.reading import Reading
from ingest.source_titles import FileTitles, NoTitles, SourceTitles, chosen_languages, read_files
from ingest.sources.base import Source
from jobsearch.errors import JobSearchError, SourceError
from jobsearch.models.encoder import CHUNK_SIZE, DocumentEncoder
from jobsearch.store import PointBatch, Store
from jobsearch.store.metadata import JOBS, alias_name
from jobsearch.types import SourceInfo, VectorStorage

_Summary = TypeVar("_Summary")


def encoded_points(
    reading: Reading, encoder: DocumentEncoder, run_id: str, without: Set[str] = frozenset()
) -> Generator[PointBatch, None, None]:
    """Embed titles and yield their points, a few batches in advance; each text is encoded once.

    Close the generator if you do not exhaust it.

    Args:
        reading: the titles.
        encoder: makes the vectors.
        run_id: stored with every point.
        without: ids of points to leave out, because they are stored already.
    """
    places: dict[str, list[int]] = {}
    for place, (text, point_id) in enumerate(zip(reading.texts, reading.ids, strict=True)):
        if point_id not in without:
            places.setdefault(text, []).append(place)
    # Texts of similar length share a batch, so there is little padding. The longest come first, so
    # that a lack of memory shows at once.
    texts = sorted(places, key=lambda text: (-len(text), text))
    batches = [texts[start : start + CHUNK_SIZE] for start in range(0, len(texts), CHUNK_SIZE)]
    with closing(encoder.encode_document_batches(batches)) as encoded:
        for batch, vectors in zip(batches, encoded, strict=True):
            rows = [row for row, text in enumerate(batch) for _ in places[text]]
            chosen = [place for text in batch for place in places[text]]
            yield PointBatch(
                ids=[reading.ids[place] for place in chosen],
                vectors=vectors[rows],
                payloads=[reading.records[place].payload(run_id) for place in chosen],
            )


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """The outcome of an ingest into one collection.

    Args:
        source, split, language: identify the titles.
        rows_read, rows_rejected: rows of the language; a row with one bad title counts as rejected.
        file_rejected: rejected rows of the file: of all its languages, and rows without a known
            language.
        titles: usable titles, including both titles of each slash form.
        duplicates: titles dropped because the same title of the same concept is stored.
        distinct_texts: normalised titles that were encoded.
        points: stored for this source and split.
        total_points: in the collection.
        kept_sources: other sources whose titles were copied from the previous build.
        dropped_sources: other sources whose titles could not be kept and were dropped.
        seconds: duration; reading counts for the first of several variants.
        titles_per_s: ``titles`` divided by ``seconds``.
        collection, alias: physical name of the collection, and the alias that points at it.
        rejects_file: list of the file's rejects, None if there are none or no file was requested.
        language_checked: whether the titles were compared with their language.
        unchanged: the collection held these titles already and nothing was done; the figures about
            reading are 0.
    """

    source: str
    split: str
    language: str
    rows_read: int
    rows_rejected: int
    file_rejected: int
    titles: int
    duplicates: int
    distinct_texts: int
    points: int
    total_points: int
    kept_sources: tuple[str, ...]
    dropped_sources: tuple[str, ...]
    seconds: float
    titles_per_s: float
    collection: str
    alias: str
    rejects_file: str | None
    language_checked: bool
    unchanged: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        lists = {name: list(getattr(self, name)) for name in ("kept_sources", "dropped_sources")}
        return {**asdict(self), **lists}


def ingest_languages(
    source: Source,
    languages: Sequence[str] | None,
    store: Store,
    encoders: Sequence[DocumentEncoder],
    *,
    language_check: bool = True,
    storage: VectorStorage | None = None,
    max_rejects: float = 0.01,
    rejects: Path | None = None,
    force: bool = False,
    drop_others: bool = False,
    resume: bool = False,
    directory: str | None = None,
    progress: bool = False,
) -> list[IngestSummary]:
    """Ingest a source in several languages with several encoders; see :func:`ingest`.

    Each file is read, deduplicated and checked once, for all its languages and all encoders, before
    the first of its collections is built.

    Args:
        source: the data set.
        languages: languages to ingest. All languages of the source if None, apart from languages
            whose rows were all rejected.
        store: receives the titles.
        encoders: make the vectors, each for a collection of its own.
        language_check: refuse titles that are plainly in another language.
        storage: see :func:`ingest`.
        max_rejects: share of bad rows, from 0 to 1, above which a file is refused.
        rejects: folder for files with the bad rows; no file is written if None.
        force: see :func:`ingest`.
        drop_others: see :func:`ingest`.
        resume: see :func:`ingest`.
        directory: see :func:`ingest`.
        progress: draw bars on the standard error, if that is a terminal.

    Returns:
        A summary per encoder and language, in the order of the encoders.

    Raises:
        SourceError, StoreError, InvalidInput: see :func:`ingest`. Collections that were stored
            before are complete and stay: the message names them, and ``done`` of the error has
            their summaries.
    """
    summaries: list[list[IngestSummary]] = [[] for _ in encoders]
    left_out = (NoTitles,) if languages is None else ()
    with naming_what_is_done(summaries, "stored", lambda summary: summary.alias):
        for titles in read_files(
            source,
            languages,
            language_check=language_check,
            max_rejects=max_rejects,
            rejects=rejects,
        ):
            for encoder, done in zip(encoders, summaries, strict=True):
                with suppress(*left_out):
                    summary = _ingest(
                        titles, store, encoder, namespace=JOBS, storage=storage, force=force,
                        drop_others=drop_others, resume=resume, directory=directory,
                        progress=progress,
                    )  # fmt: skip
                    done.append(summary)
    return [summary for done in summaries for summary in done]


@contextmanager
def naming_what_is_done(
    summaries: Sequence[Sequence[_Summary]], verb: str, name: Callable[[_Summary], str]
) -> Iterator[None]:
    """Complete an error by the work that was done before it, which stays.

    Args:
        summaries: of the finished work, for each encoder.
        verb: for the message, e.g. ``stored``.
        name: what to call one piece of work in the message.
    """
    try:
        yield
    except JobSearchError as error:
        error.done = tuple(summary for done in summaries for summary in done)
        names = ", ".join(map(name, error.done))
        # Other errors can happen when nothing is expected to be stored.
        if names or isinstance(error, SourceError):
            said = f"{verb.capitalize()} before and complete: {names}" if names else None
            error.args = (f"{error}. {said or f'Nothing was {verb}'}",)
        raise


def ingest(
    source: Source,
    language: str,
    store: Store,
    encoder: DocumentEncoder,
    *,
    namespace: str = JOBS,
    language_check: bool = True,
    storage: VectorStorage | None = None,
    max_rejects: float = 0.01,
    rejects_path: Path | None = None,
    force: bool = False,
    drop_others: bool = False,
    resume: bool = False,
    directory: str | None = None,
    progress: bool = False,
) -> IngestSummary:
    """Embed the titles of a source and store them in the collection of their language and encoder.

    The collection is built beside the live one, with the titles of other sources that the live one
    holds, and replaces it only when it is complete and finds its own titles. A failure at any point
    leaves the live one unchanged. If the live one already holds the same titles, nothing is done.

    Args:
        source: the data set.
        language: one of its languages.
        store: receives the titles.
        encoder: makes the vectors.
        namespace: searches use ``jobs``; corpora of benchmarks have others (``eval_namespace``).
        language_check: refuse titles that are plainly in another language.
        storage: how vectors are stored; a change makes a new build. Values that are left out are
            those of the live collection.
        max_rejects: share of bad rows, from 0 to 1, above which nothing is stored.
        rejects_path: JSON lines file for the bad rows.
        force: build even if nothing has changed.
        drop_others: drop other sources that cannot be kept, because another encoder embedded them
            or because they cannot be read, instead of failing.
        resume: continue an interrupted build on a server, if there is one for exactly these titles:
            titles that it has are not encoded and stored again.
        directory: absolute path of the model, if it is a directory: two directories of the same
            name must not replace each other's collections.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceError: the source cannot be read, has too many bad rows, or is in another language.
        StoreError: the store failed; ``CollectionMismatch`` if other sources would be lost.
        InvalidInput: the source has no such language.
    """
    [code] = chosen_languages(source, [language])
    file = FileTitles(
        source,
        [code],
        language_check=language_check,
        max_rejects=max_rejects,
        rejects_path=rejects_path,
    )
    titles = SourceTitles(file, code)
    return _ingest(
        titles, store, encoder, namespace=namespace, storage=storage, force=force,
        drop_others=drop_others, resume=resume, directory=directory, progress=progress,
    )  # fmt: skip


def _ingest(
    titles: SourceTitles,
    store: Store,
    encoder: DocumentEncoder,
    *,
    namespace: str,
    storage: VectorStorage | None,
    force: bool,
    drop_others: bool,
    resume: bool,
    directory: str | None,
    progress: bool,
) -> IngestSummary:
    started = time.perf_counter()
    source, language = titles.source, titles.language
    alias = alias_name(namespace, language, encoder.info.model, encoder.info.variant)
    with store.build_lock(alias):
        live = find_live_collection(
            store,
            alias,
            (source.name, source.split),
            origin=source.origin,
            language=language,
            encoder=encoder.info,
            directory=directory,
            drop_others=drop_others,
        )
        storage = (storage or VectorStorage()).or_else(live.storage)
        same = live.same
        stored = (same.sha256, same.version, live.storage) if same else None
        if same and not force and stored == (titles.sha256, source.version, storage):
            kept = FinishedBuild(live.name or "", (*live.kept, same), live.points)
            return _summary(same, language, alias, live, kept, started)
        entry = titles.info
        checked = titles.language_checked
        plan = new_metadata(language, encoder.info, (entry,), storage, directory)
        ids = frozenset(titles.reading.ids)
        begun = find_unfinished_build(store, alias, plan, ids) if resume else None
        builder = Builder(store, alias, live, plan, begun)
        stored_ids = begun.stored if begun else frozenset()
        with closing(
            encoded_points(titles.reading, encoder, builder.run_id, stored_ids)
        ) as encoded:
            built = builder.build(encoded, entry.points, progress=progress)
    return _summary(entry, language, alias, live, built, started, titles.reading, checked=checked)


def _summary(
    entry: SourceInfo,
    language: str,
    alias: str,
    live: LiveCollection,
    built: FinishedBuild,
    started: float,
    reading: Reading | None = None,
    *,
    checked: bool = False,
) -> IngestSummary:
    """The summary; without a reading, the collection was left unchanged."""
    seconds = time.perf_counter() - started
    titles = reading.titles if reading else 0
    return IngestSummary(
        source=entry.source,
        split=entry.split,
        language=language,
        rows_read=reading.rows_read if reading else 0,
        rows_rejected=reading.rows_rejected if reading else 0,
        file_rejected=reading.file_rejected if reading else 0,
        titles=titles,
        duplicates=reading.duplicates if reading else 0,
        distinct_texts=reading.distinct_texts if reading else 0,
        points=entry.points,
        total_points=built.points,
        kept_sources=tuple(source_label(s) for s in built.sources if s != entry),
        dropped_sources=live.dropped,
        seconds=seconds,
        titles_per_s=titles / seconds,
        collection=built.name,
        alias=alias,
        rejects_file=str(reading.rejects_file) if reading and reading.rejects_file else None,
        language_checked=checked,
        unchanged=reading is None,
    )
