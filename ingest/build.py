"""Builds a collection beside the live one, which it replaces when it is complete."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from jobsearch import __version__
from jobsearch.errors import (
    CollectionMismatch,
    InvalidInput,
    JobSearchError,
    StoreDamaged,
    StoreUnavailable,
)
from jobsearch.store import (
    CollectionInfo,
    CollectionMetadata,
    PointBatch,
    Store,
    check_collection,
)
from jobsearch.store.metadata import alias_of, build_name
from jobsearch.store.ranking import check_payload
from jobsearch.text import normalize_title
from jobsearch.timing import timed
from jobsearch.types import PLAIN_STORAGE, EncoderInfo, SourceInfo, VectorStorage
from jobsearch.vectors import Vectors

# Points of a finished build that are searched for by their own vectors, and the number of hits.
_CHECKED_POINTS, _CHECKED_DEPTH = 64, 10
# Cosine of a vector with itself after a round trip through the store.
_MIN_SELF_COSINE = 0.999


@dataclass(frozen=True, slots=True)
class LiveCollection:
    """The collection that an alias points at when a build begins.

    Args:
        name: physical name, None if there is no such alias.
        kept: other sources, whose titles are copied into the new collection.
        same: the entry of the source that is being ingested, None if the collection does not hold
            it completely.
        points: number of points.
        storage: how its vectors are stored.
        dropped: labels of other sources that cannot be kept and will be lost.
    """

    name: str | None
    kept: tuple[SourceInfo, ...] = ()
    same: SourceInfo | None = None
    points: int = 0
    storage: VectorStorage = PLAIN_STORAGE
    dropped: tuple[str, ...] = ()


def find_live_collection(
    store: Store,
    alias: str,
    replaced: tuple[str, str],
    *,
    origin: str | None,
    language: str,
    encoder: EncoderInfo,
    directory: str | None,
    drop_others: bool,
) -> LiveCollection:
    """Look up the collection that a new build will replace.

    Args:
        store: holds the collection.
        alias: stable name of the collection.
        replaced: name and split of the source that is being ingested.
        origin: of that source (:class:`jobsearch.types.SourceInfo`).
        language: of the collection.
        encoder: encoder of the new build.
        directory: absolute path of its model, if it is a directory.
        drop_others: lose other sources that cannot be kept, instead of failing.

    Raises:
        InvalidInput: a source of the same name comes from another file.
        CollectionMismatch: other sources cannot be kept, because another encoder embedded them; or
            the collection was made by another model whose name only reads the same.
        StoreDamaged: other sources cannot be kept, because they cannot be read.
    """
    name = store.aliases().get(alias)
    if name is None:
        return LiveCollection(None)
    others: tuple[SourceInfo, ...] | None = None
    storage = PLAIN_STORAGE
    found: CollectionInfo | None = None
    try:
        found = store.describe(name)
        storage = found.metadata.storage.or_else(storage)
        held = {(s.source, s.split): s for s in found.metadata.sources}
        others = tuple(s for key, s in held.items() if key != replaced)
        if replaced in held:
            _check_origin(alias, held[replaced], origin)
        check_collection(name, found.metadata, language=language, encoder=encoder)
        # This reads the files: damage is better found now than after all titles were encoded.
        store.count(name)
    except (CollectionMismatch, StoreDamaged) as error:
        if found is not None and not drop_others:
            _check_model(alias, found.metadata, encoder, directory)
        lost = ("unknown sources",) if others is None else tuple(map(source_label, others))
        if lost and not drop_others:
            raise type(error)(
                f"{error}. Titles of other sources cannot be kept ({', '.join(lost)}): "
                "`drop_others=True` drops them"
            ) from error
        return LiveCollection(name, storage=storage, dropped=lost)
    # An earlier version could delete titles: then the source is no longer complete.
    complete = found.points == sum(s.points for s in found.metadata.sources)
    same = next(
        (s for s in found.metadata.sources if complete and (s.source, s.split) == replaced), None
    )
    return LiveCollection(name, others, same, found.points, storage)


def _check_origin(alias: str, held: SourceInfo, origin: str | None) -> None:
    """Refuse to replace a table by another one of the same file name, unless it was named so.

    Raises:
        InvalidInput: with the origins of both.
    """
    if not origin or held.origin is None or held.origin == origin:
        return
    raise InvalidInput(
        f"{alias} has a source {held.source!r} already, "
        f"from {held.origin or 'a table that was given this name'}, and "
        f"{origin} would replace it: give the table another `name`, or "
        f'`name="{held.source}"` to replace that source'
    )


def _check_model(
    alias: str, live: CollectionMetadata, encoder: EncoderInfo, directory: str | None
) -> None:
    """Refuse to replace the vectors of another model whose name only reads the same.

    Raises:
        CollectionMismatch: with the names or directories of both models.
    """
    if live.encoder == encoder:
        return
    held, new = live.encoder.model, encoder.model
    if held == new:
        if None in (live.directory, directory) or live.directory == directory:
            return
        held, new = str(live.directory), str(directory)
    raise CollectionMismatch(
        f"{alias} was made by the model {held}, and another model, {new}, would replace it because "
        "both have the same name in the store: rename a directory to keep both apart, or "
        "`drop_others=True` replaces the collection"
    )


def source_label(info: SourceInfo) -> str:
    """A source and its split, to be shown."""
    return f"{info.source} {info.split}".strip()


@dataclass(frozen=True, slots=True)
class UnfinishedBuild:
    """An interrupted build: its name, and the ids of the requested points that it has."""

    name: str
    stored: Set[str]


def find_unfinished_build(
    store: Store, alias: str, wanted: CollectionMetadata, ids: Set[str]
) -> UnfinishedBuild | None:
    """The latest interrupted build for ``alias`` of exactly these titles, None if there is none.

    Only a server keeps interrupted builds; in the embedded engine they end with their process.

    Args:
        store: holds the builds.
        alias: alias of the build.
        wanted: metadata of the finished build.
        ids: of the points of the sources in ``wanted``; the build may also hold other sources.
    """
    names = [
        info.name
        for info in store.collections()
        if alias_of(info.name) == alias
        and info.metadata.status == "building"
        and _content(info.metadata) == _content(wanted)
    ]
    if not names:
        return None
    # Names of one alias sort by the time of their build.
    name = max(names)
    return UnfinishedBuild(name, ids & {i for points in store.scroll(name) for i in points.ids})


def _content(metadata: CollectionMetadata) -> tuple[object, ...]:
    return metadata.language, metadata.encoder, metadata.sources, metadata.storage


@dataclass(frozen=True, slots=True)
class FinishedBuild:
    """A finished build: its name, all its sources and its number of points."""

    name: str
    sources: tuple[SourceInfo, ...]
    points: int


def new_metadata(
    language: str,
    encoder: EncoderInfo,
    sources: tuple[SourceInfo, ...],
    storage: VectorStorage = PLAIN_STORAGE,
    directory: str | None = None,
) -> CollectionMetadata:
    """Metadata of a build that begins now."""
    return CollectionMetadata(
        language=language,
        encoder=encoder,
        sources=sources,
        expected_points=0,
        status="building",
        created_at=_now(),
        created_by=f"jobsearch {__version__}",
        directory=directory,
        storage=storage,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Builder:
    """One build of one collection.

    Args:
        store: receives the build; the caller holds its build lock.
        alias: will point at the collection.
        live: the collection that the alias points at now.
        plan: metadata of the new titles, without the sources kept from the live collection.
        begun: an interrupted build for the same plan, to be continued.
    """

    def __init__(
        self,
        store: Store,
        alias: str,
        live: LiveCollection,
        plan: CollectionMetadata,
        begun: UnfinishedBuild | None = None,
    ) -> None:
        self._store, self._alias, self._live, self._begun = store, alias, live, begun
        # Point files and snapshots carry the time of their creation, by which `collections prune`
        # would take this build for an abandoned one.
        self._plan = plan if begun else replace(plan, created_at=_now())
        self.name = begun.name if begun else build_name(alias, plan.encoder)

    @property
    def run_id(self) -> str:
        """Stored with every new point: time and fingerprint of the build."""
        return self.name.rsplit("__", 1)[1]

    def build(
        self,
        points: Iterable[PointBatch],
        total: int,
        *,
        compare: Callable[[str], None] | None = None,
        progress: bool,
    ) -> FinishedBuild:
        """Store the new points and the kept ones, check the build, and move the alias.

        After any failure the alias stays unchanged and the build is deleted. The exception is a
        server that stops answering: its unfinished build can be continued, and the alias may have
        moved.

        Args:
            points: of the plan's sources, without those that the begun build has; batches are
                stored while later ones are made.
            total: number of points of the plan's sources, including those of the begun build.
            compare: called with the finished build's name before the alias moves; an exception
                ends the build.
            progress: draw a bar on the standard error, if that is a terminal.

        Raises:
            StoreError: the store failed or lost points, or another ingest finished first.
        """
        try:
            with (
                timed("embed and store", collection=self.name, points=total),
                ThreadPoolExecutor(self._store.upload_streams) as uploaders,
            ):
                kept = uploaders.submit(self._begin)
                left = total - (len(self._begun.stored) if self._begun else 0)
                titles, vectors = self._upload(points, left, uploaders, kept, progress=progress)
            sources = (*kept.result(), *self._plan.sources)
            count = sum(s.points for s in kept.result()) + total
            ready = replace(self._plan, sources=sources, expected_points=count, status="ready")
            with timed("finish", collection=self.name, points=count):
                self._store.finish(self.name, ready)
            with timed("check", collection=self.name):
                self._check(titles, vectors)
                if compare is not None:
                    compare(self.name)
            with timed("swap", collection=self.name):
                self._store.swap_alias(self._alias, self.name, expected=self._live.name)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{error}. The titles stored so far are kept: `resume=True` continues the build, "
                "`jobsearch collections prune` deletes it"
            ) from error
        except BaseException:
            with suppress(JobSearchError):
                self._store.drop(self.name)
            raise
        return FinishedBuild(self.name, sources, count)

    def _begin(self) -> tuple[SourceInfo, ...]:
        """Create the collection and copy the kept points, while the first batch is made."""
        if self._begun is None:
            self._store.create(self.name, self._plan)
        return self._copy_kept()

    def _copy_kept(self) -> tuple[SourceInfo, ...]:
        """Copy the points of other sources, and count them."""
        if self._live.name is None or not self._live.kept:
            return ()
        wanted = {(s.source, s.split) for s in self._live.kept}
        counts: Counter[tuple[str, str]] = Counter()
        for batch in self._store.scroll(self._live.name):
            for point_id, payload in zip(batch.ids, batch.payloads, strict=True):
                check_payload(self._live.name, point_id, payload)
            owners = [(p["source"], p.get("split", "")) for p in batch.payloads]
            rows = [row for row, owner in enumerate(owners) if owner in wanted]
            if rows:
                counts.update(owners[row] for row in rows)
                self._store.upsert(self.name, _pick(batch, rows))
        counted = (replace(s, points=counts[s.source, s.split]) for s in self._live.kept)
        return tuple(s for s in counted if s.points)

    def _upload(
        self,
        points: Iterable[PointBatch],
        total: int,
        uploaders: ThreadPoolExecutor,
        begun: Future[tuple[SourceInfo, ...]],
        *,
        progress: bool,
    ) -> tuple[list[str], Vectors]:
        """Upload batches while later ones are made, at most ``upload_streams`` at a time.

        Returns:
            Titles of some points, spread evenly over all batches, and their vectors.
        """
        pending: deque[Future[None]] = deque()
        titles: list[str] = []
        vectors = [np.empty((0, self._plan.encoder.dim), dtype=np.float32)]
        with _bar(total, self._alias, progress=progress) as bar:
            for batch, rows in _sampled(points, total):
                begun.result()
                if len(pending) == self._store.upload_streams:
                    pending.popleft().result()
                pending.append(uploaders.submit(self._store.upsert, self.name, batch))
                titles += [batch.payloads[row]["title"] for row in rows]
                vectors.append(batch.vectors[rows])
                bar.update(len(batch))
            for upload in pending:
                upload.result()
        return titles, np.concatenate(vectors)

    def _check(self, titles: list[str], vectors: Vectors) -> None:
        """Search the finished build for some of its titles by their own vectors.

        Raises:
            StoreDamaged: a title is not found.
        """
        # One row is enough for equal titles with equal vectors, such as those of advertisements.
        keys = zip(map(normalize_title, titles), map(np.ndarray.tobytes, vectors), strict=True)
        rows = list({key: row for row, key in enumerate(keys)}.values())
        if not rows:
            return
        answers = self._store.query(self.name, vectors[rows], limit=_CHECKED_DEPTH, exact=True)
        for title, hits in zip((titles[row] for row in rows), answers, strict=True):
            same = [hit.payload["title"] for hit in hits if hit.score > _MIN_SELF_COSINE]
            # Many titles with the same vector may push the title out of the hits.
            found = normalize_title(title) in map(normalize_title, same)
            if not found and len(same) < _CHECKED_DEPTH:
                raise StoreDamaged(
                    f"{self.name} does not find its own title {title!r}: the store or the encoder "
                    "mixes up vectors. Nothing was replaced: check the store, then ingest again"
                )


def _sampled(points: Iterable[PointBatch], total: int) -> Iterator[tuple[PointBatch, list[int]]]:
    """Each batch with the rows to check, spread evenly over all batches."""
    step = max(1, -(-total // _CHECKED_POINTS))
    seen = 0
    for batch in points:
        yield batch, list(range(-seen % step, len(batch), step))
        seen += len(batch)


def _bar(total: int, name: str, *, progress: bool) -> "tqdm[NoReturn]":
    # None draws a bar only on a terminal.
    return tqdm(total=total, desc=name, unit=" titles", disable=None if progress else True)


def _pick(batch: PointBatch, rows: list[int]) -> PointBatch:
    return PointBatch(
        ids=[batch.ids[row] for row in rows],
        vectors=batch.vectors[rows],
        payloads=[batch.payloads[row] for row in rows],
    )


def remove_source(
    store: Store, alias: str, source: str, *, progress: bool = False
) -> FinishedBuild:
    """Build a collection anew without one of its sources; ``Store.rollback`` undoes it.

    Args:
        store: holds the collection.
        alias: of the collection.
        source: name of the source, all of whose splits are removed.
        progress: draw a bar on the standard error, if that is a terminal.

    Returns:
        The new build. It is empty if the collection held no other source.

    Raises:
        CollectionNotFound: there is no such alias.
        InvalidInput: the collection has no such source.
        StoreError: the store failed, or another ingest finished first.
    """
    info = store.describe(alias)
    if alias not in info.aliases:
        raise InvalidInput(f"{alias} is a single build: give the alias {alias_of(alias)}")
    with store.build_lock(alias):
        info = store.describe(alias)
        metadata = info.metadata
        kept = tuple(s for s in metadata.sources if s.source != source)
        if len(kept) == len(metadata.sources):
            names = ", ".join(dict.fromkeys(s.source for s in metadata.sources))
            raise InvalidInput(f"{alias} has no source {source!r}, only {names or 'none'}")
        live = LiveCollection(info.name, kept, None, info.points, metadata.storage)
        plan = new_metadata(
            metadata.language, metadata.encoder, (), metadata.storage, metadata.directory
        )
        return Builder(store, alias, live, plan).build((), 0, progress=progress)
