"""Copies collections: into a snapshot file and back, and from one store to another."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest.build import Builder, LiveCollection
from ingest.point_files import PointFile, PointFileHeader, write_point_file
from jobsearch.errors import (
    JobSearchError,
    SourceFormatError,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
)
from jobsearch.store import CollectionInfo, CollectionMetadata, PointBatch, ScoredPoint, Store
from jobsearch.store.metadata import alias_of, build_name
from jobsearch.store.server.snapshots import read_snapshot

if TYPE_CHECKING:
    from jobsearch.store.server.snapshots import ServerSnapshots

# Points whose neighbours are compared in both stores, and the number of neighbours.
_COMPARED, _DEPTH = 32, 10
# Engines round cosines differently.
_SCORE_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Transferred:
    """A copied collection: its alias, its new physical name, and its number of points."""

    alias: str
    collection: str
    points: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def write_snapshot(store: Store, name: str, path: Path) -> Transferred:
    """Write a finished collection into one Parquet file.

    An earlier file of that name stays until the new one is complete. A finished collection never
    changes, so an ingest may run at the same time.

    Raises:
        StoreError: the collection is not finished, not found, damaged, or lost points.
        SourceFormatError: the file cannot be written, or pyarrow is missing.
    """
    info = _finished(store, name)
    header = PointFileHeader(alias_of(info.name), info.metadata)
    points = write_point_file(path, header, _all_points(store, info))
    return Transferred(header.alias, info.name, points)


def _finished(store: Store, name: str) -> CollectionInfo:
    info = store.describe(name)
    if info.metadata.status != "ready":
        raise StoreError(f"the build of {info.name} is not complete: wait for its ingest to end")
    return info


def _all_points(store: Store, info: CollectionInfo) -> Iterator[PointBatch]:
    """The points of a collection; raises at the end if some are missing."""
    points = 0
    for batch in store.scroll(info.name):
        points += len(batch)
        yield batch
    if points != info.points:
        raise StoreDamaged(
            f"{info.name} gave {points:,} of its {info.points:,} points: "
            f"`jobsearch collections verify {info.name}` lists its problems"
        )


def restore_snapshot(path: Path, store: Store, *, progress: bool = False) -> Transferred:
    """Make a collection from a snapshot and point its alias there; the previous build is kept.

    Raises:
        SourceFormatError: the file is no snapshot, or was cut short or altered.
        StoreError: the store failed.
    """
    part = PointFile(path)
    if part.header.parts != 1 or part.points != part.header.metadata.expected_points:
        raise SourceFormatError(
            f"{path} is no snapshot of a whole collection: `jobsearch ingest load` takes parts"
        )
    points = part.batches()
    return _rebuild(store, part.header.alias, part.header.metadata, points, progress=progress)


def write_server_snapshot(
    store: Store, snapshots: "ServerSnapshots", name: str, path: Path, *, progress: bool = False
) -> Transferred:
    """Let the server make a snapshot of a finished collection, and download it.

    Raises:
        StoreError: the collection is not finished or not found, or the server fails.
    """
    info = _finished(store, name)
    snapshots.save(info.name, path, progress=progress)
    return Transferred(alias_of(info.name), info.name, info.points)


def restore_server_snapshot(
    path: Path, store: Store, snapshots: "ServerSnapshots", *, progress: bool = False
) -> Transferred:
    """Make a collection from a server's snapshot and point its alias there.

    The previous build is kept.

    Raises:
        StoreError: the file is no such snapshot or was altered, or the server failed. The alias is
            unchanged and the new collection is deleted, unless the server stopped answering while
            the alias moved: then the collection stays.
    """
    alias, metadata = read_snapshot(path)
    if metadata.status != "ready":
        raise StoreError(f"the build in {path} is not complete: there is nothing to restore")
    name = build_name(alias, metadata.encoder)
    live = store.aliases().get(alias)
    checked = False
    try:
        snapshots.restore(path, name, progress=progress)
        made = store.describe(name)
        if (made.metadata, made.points) != (metadata, metadata.expected_points):
            raise StoreDamaged(
                f"{path} became a collection of {made.points:,} points, "
                f"{metadata.expected_points:,} expected, or with other metadata: restore another "
                "snapshot"
            )
        checked = True
        store.swap_alias(alias, name, expected=live)
    except BaseException as error:
        if not (checked and isinstance(error, StoreUnavailable)):
            with suppress(JobSearchError):
                store.drop(name)
        raise
    return Transferred(alias, name, made.points)


def migrate(source: Store, name: str, target: Store, *, progress: bool = False) -> Transferred:
    """Copy a collection (an alias or a physical name) into another store, under the same alias.

    Before the alias moves there, the neighbours of some points are compared between both stores.

    Raises:
        StoreError: a store failed, or the neighbours differ; the target is unchanged.
    """
    info = source.describe(name)
    sample: list[PointBatch] = []

    def points() -> Iterable[PointBatch]:
        step = max(1, info.points // _COMPARED)
        seen = 0
        for batch in source.scroll(info.name):
            rows = list(range(-seen % step, len(batch), step))
            ids = [batch.ids[row] for row in rows]
            payloads = [batch.payloads[row] for row in rows]
            sample.append(PointBatch(ids, batch.vectors[rows], payloads))
            seen += len(batch)
            yield batch

    def compare(copy: str) -> None:
        for batch in sample:
            here = source.query(info.name, batch.vectors, limit=_DEPTH, exact=True)
            there = target.query(copy, batch.vectors, limit=_DEPTH, exact=True)
            if not all(map(_agree, here, there)):
                raise StoreDamaged(
                    f"{source.location} and {target.location} give different hits for the copy of "
                    f"{info.name}: nothing was changed, run `jobsearch collections verify` on both"
                )

    alias = alias_of(info.name)
    return _rebuild(target, alias, info.metadata, points(), compare, progress=progress)


def _agree(here: list[ScoredPoint], there: list[ScoredPoint]) -> bool:
    """Whether two lists of hits are the same, apart from the order of equal scores."""
    if len(here) != len(there):
        return False
    if not np.allclose([p.score for p in here], [p.score for p in there], atol=_SCORE_TOLERANCE):
        return False
    cut = here[-1].score + _SCORE_TOLERANCE if here else 0.0
    sure = {point.id for point in here if point.score > cut}
    return sure <= {point.id for point in there}


def _rebuild(
    store: Store,
    alias: str,
    metadata: CollectionMetadata,
    points: Iterable[PointBatch],
    compare: Callable[[str], None] | None = None,
    *,
    progress: bool,
) -> Transferred:
    with store.build_lock(alias):
        live = LiveCollection(store.aliases().get(alias))
        builder = Builder(store, alias, live, replace(metadata, status="building", previous=""))
        total = metadata.expected_points
        built = builder.build(points, total, compare=compare, progress=progress)
    return Transferred(alias, built.name, built.points)
