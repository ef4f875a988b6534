"""Makes a collection beside the live one, and puts it in its place when it is complete."""

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
from jobsearch.errors import CollectionMismatch, JobSearchError, StoreDamaged, StoreUnavailable
from jobsearch.store import CollectionMetadata, PointBatch, Store, check_collection
from jobsearch.store.metadata import alias_of, build_name
from jobsearch.text import normalize_title
from jobsearch.timing import timed
from jobsearch.types import EncoderInfo, SourceInfo, VectorStorage
from jobsearch.vectors import Vectors


@dataclass(frozen=True, slots=True)
class LiveCollection:
    """What an alias points at when an ingest begins.

    Args:
        name: physical name, None if there is no such alias.
        kept: other sources whose titles go over into the new collection.
        same: the entry of the source that is ingested, None if it is not there as it was stored.
        points: number of points.
        storage: how its vectors are kept.
    """

    name: str | None
    kept: tuple[SourceInfo, ...] = ()
    same: SourceInfo | None = None
    points: int = 0
    storage: VectorStorage = VectorStorage()


def find_live_collection(
    store: Store,
    alias: str,
    replaced: tuple[str, str],
    *,
    language: str,
    encoder: EncoderInfo,
    force: bool,
) -> LiveCollection:
    """Look up what is to be replaced.

    Args:
        store: where it is.
        alias: stable name of the collection.
        replaced: name and split of the source that is about to be stored.
        language: of the collection.
        encoder: what is about to make its vectors.
        force: rather lose other sources than fail.

    Raises:
        CollectionMismatch: other sources cannot be kept: another encoder embedded them.
        StoreDamaged: other sources cannot be kept: they cannot be read.
    """
    name = store.aliases().get(alias)
    if name is None:
        return LiveCollection(None)
    others: tuple[SourceInfo, ...] | None = None
    try:
        found = store.describe(name)
        held = {(s.source, s.split): s for s in found.metadata.sources}
        others = tuple(s for key, s in held.items() if key != replaced)
        check_collection(name, found.metadata, language=language, encoder=encoder)
        # Reads it: better to learn of damage now than when all has been encoded.
        store.count(name)
    except (CollectionMismatch, StoreDamaged) as error:
        if force or others == ():
            return LiveCollection(name)
        lost = ", ".join(map(source_label, others)) if others else "whatever it holds"
        raise type(error)(
            f"{error}. Titles of other sources cannot be kept ({lost}): --force drops them"
        ) from error
    # Titles may have been deleted since: then the source is no longer there as it was.
    complete = found.points == sum(s.points for s in found.metadata.sources)
    same = next(
        (s for s in found.metadata.sources if complete and (s.source, s.split) == replaced), None
    )
    return LiveCollection(name, others, same, found.points, found.metadata.storage)


def source_label(info: SourceInfo) -> str:
    """A source and its split, for people."""
    return f"{info.source} {info.split}".strip()


@dataclass(frozen=True, slots=True)
class UnfinishedBuild:
    """An interrupted build: its name, and the ids of those wanted points that it has."""

    name: str
    stored: Set[str]


def find_unfinished_build(
    store: Store, alias: str, wanted: CollectionMetadata, ids: Set[str]
) -> UnfinishedBuild | None:
    """The latest unfinished build for ``alias`` that was to become what is wanted.

    The embedded engine keeps none: its builds end with their process.

    Args:
        store: where to look.
        alias: what it was built for.
        wanted: what it is to become.
        ids: of the points of ``wanted``'s sources; it may hold those of other sources too.
    """
    names = [
        info.name
        for info in store.collections()
        if alias_of(info.name) == alias
        and info.metadata.status == "building"
        and _plan(info.metadata) == _plan(wanted)
    ]
    if not names:
        return None
    # Names of one alias sort by the time of their build.
    name = max(names)
    return UnfinishedBuild(name, ids & {i for points in store.scroll(name) for i in points.ids})


def _plan(metadata: CollectionMetadata) -> tuple[object, ...]:
    return metadata.language, metadata.encoder, metadata.sources, metadata.storage


_CHECKED_POINTS = 64
_CHECKED_DEPTH = 10
# Cosine of a vector with itself, after a round trip through the store.
_MIN_SELF_COSINE = 0.999


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
    storage: VectorStorage = VectorStorage(),
) -> CollectionMetadata:
    """The metadata of a build that begins now."""
    return CollectionMetadata(
        language=language,
        encoder=encoder,
        sources=sources,
        expected_points=0,
        status="building",
        created_at=_now(),
        created_by=f"jobsearch {__version__}",
        storage=storage,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Builder:
    """One build of one collection.

    Args:
        store: where to build; its build lock is held.
        alias: what shall point at the collection.
        live: what the alias points at now.
        plan: what the build is made of, but for what is kept of the live collection.
        begun: a build for the same plan that was not finished, to go on with.
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
        # Parts and snapshots bring the time they were made at: `collections prune` would take the
        # build for one that was left behind.
        self._plan = plan if begun else replace(plan, created_at=_now())
        self.name = begun.name if begun else build_name(alias, plan.encoder)

    @property
    def run_id(self) -> str:
        """What tells the points of this build from those of others."""
        return self.name.rsplit("__", 1)[1]

    def build(
        self,
        points: Iterable[PointBatch],
        total: int,
        *,
        compare: Callable[[str], None] | None = None,
        progress: bool,
    ) -> FinishedBuild:
        """Store the points and those of other sources, check, and move the alias.

        Whatever goes wrong, the alias stays where it is and the build is dropped; but for a server
        that does not answer any more, where what it has can be gone on with, and where the alias
        may have moved all the same.

        Args:
            points: of the plan's sources, but for those that the begun build has; batches are
                stored while later ones are made.
            total: number of points of the plan's sources, those of the begun build included.
            compare: called with the finished build's name before the alias moves; what it raises
                ends the build.
            progress: draw a bar on the standard error, if that is a terminal.

        Raises:
            StoreError: the store failed, lost points, or another ingest was faster.
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
                f"{error}. What was stored is kept: `jobsearch ingest … --resume` goes on with it, "
                "`jobsearch collections prune` deletes it"
            ) from error
        except BaseException:
            with suppress(JobSearchError):
                self._store.drop(self.name)
            raise
        return FinishedBuild(self.name, sources, count)

    def _begin(self) -> tuple[SourceInfo, ...]:
        """Make the collection and copy what it keeps, while the first batch is made."""
        if self._begun is None:
            self._store.create(self.name, self._plan)
        return self._copy_kept()

    def _copy_kept(self) -> tuple[SourceInfo, ...]:
        """Copy the points of other sources; their numbers are counted anew."""
        if self._live.name is None or not self._live.kept:
            return ()
        wanted = {(s.source, s.split) for s in self._live.kept}
        counts: Counter[tuple[str, str]] = Counter()
        for batch in self._store.scroll(self._live.name):
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
        """Upload batches while the next are made; no more wait than are under way.

        Returns:
            Titles of some points, spread over the whole, and their vectors.
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
        """Ask the finished build for some of its titles by their own vectors.

        Raises:
            StoreDamaged: one is not found.
        """
        answers = self._store.query(self.name, vectors, limit=_CHECKED_DEPTH, exact=True)
        for title, hits in zip(titles, answers, strict=True):
            same = [hit.payload["title"] for hit in hits if hit.score > _MIN_SELF_COSINE]
            # Titles that no encoder can tell apart may crowd one another out.
            found = normalize_title(title) in map(normalize_title, same)
            if not found and len(same) < _CHECKED_DEPTH:
                raise StoreDamaged(
                    f"{self.name} does not find its own title {title!r}: the store or the encoder "
                    "mixes up vectors. Nothing was replaced: check the store, then ingest again"
                )


def _sampled(points: Iterable[PointBatch], total: int) -> Iterator[tuple[PointBatch, list[int]]]:
    """Each batch with the rows of it that are checked, evenly spread over all batches."""
    step = max(1, -(-total // _CHECKED_POINTS))
    seen = 0
    for batch in points:
        yield batch, list(range(-seen % step, len(batch), step))
        seen += len(batch)


def _bar(total: int, name: str, *, progress: bool) -> "tqdm[NoReturn]":
    # None: only on a terminal.
    return tqdm(total=total, desc=name, unit=" titles", disable=None if progress else True)


def _pick(batch: PointBatch, rows: list[int]) -> PointBatch:
    return PointBatch(
        ids=[batch.ids[row] for row in rows],
        vectors=batch.vectors[rows],
        payloads=[batch.payloads[row] for row in rows],
    )
