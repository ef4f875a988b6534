"""The life of a build, as all engines see it: what is refused, what is kept, how it is checked."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from jobsearch.errors import CollectionChanged, CollectionNotFound, StoreDamaged, StoreError
from jobsearch.store.metadata import alias_of, is_ours
from jobsearch.store.protocol import CollectionInfo, Store
from jobsearch.store.ranking import UNIT_TOLERANCE
from jobsearch.vectors import Vectors

_SAMPLE = 32
_SAMPLE_DEPTH = 100


def not_found(name: str, location: str, aliases: Iterable[str]) -> CollectionNotFound:
    """The error for a name that is neither collection nor alias, with what to do."""
    there = ", ".join(sorted(aliases))
    return CollectionNotFound(
        f"no collection {name} in {location} ({f'there are: {there}' if there else 'it is empty'})"
        ": make one with `jobsearch ingest sample` or `jobsearch ingest esco PATH`"
    )


def no_build_before(alias: str, current: str) -> CollectionNotFound:
    """The error for a rollback that has nowhere to go."""
    return CollectionNotFound(
        f"no build before {current} is left to roll {alias} back to: ingest the titles again"
    )


def check_new(name: str) -> None:
    """Raise ``ValueError`` unless a build may have this name."""
    if not is_ours(name):
        raise ValueError(f"{name!r} is no name of a build: make one with build_name")


def not_complete(name: str) -> StoreError:
    """The error for a build that is used before it is finished."""
    return StoreError(f"the build of collection {name} is not complete: ingest the titles again")


def not_building(name: str, *, ready: bool) -> StoreError:
    """The error for points that come too late, or from somebody else."""
    state = "finished" if ready else "being built elsewhere"
    return StoreError(f"collection {name} is {state}: make a new build to add titles")


def taken_over(name: str) -> CollectionChanged:
    """The error for a build that another process goes on with."""
    return CollectionChanged(
        f"another process has gone on with the build {name} (--resume): wait for that one"
    )


def check_count(name: str, counted: int, expected: int) -> None:
    """Raise ``StoreDamaged`` unless a build has the points that it should have."""
    if counted != expected:
        raise StoreDamaged(
            f"collection {name} has {counted:,} points, {expected:,} expected: "
            "ingest the titles again"
        )


def check_unused(name: str, aliases: Mapping[str, str]) -> None:
    """Raise ``StoreError`` if an alias points at a collection that is to be dropped."""
    if pointing := sorted(alias for alias, target in aliases.items() if target == name):
        raise StoreError(
            f"collection {name} is in use as {', '.join(pointing)}: "
            "roll back or ingest again before it is dropped"
        )


def check_expected(alias: str, found: str | None, expected: str | None) -> None:
    """Raise ``CollectionChanged`` unless ``alias`` points where it did when the build began."""
    if found != expected:
        raise CollectionChanged(
            f"{alias} pointed at {expected or 'nothing'} when this build began and now points at "
            f"{found or 'nothing'}: another ingest was faster, run this one again"
        )


def outdated(alias: str, current: str, previous: str, ready: Iterable[str]) -> list[str]:
    """The finished builds for ``alias`` that are older than the current and the previous one."""
    # Names of one alias sort by the time of their build.
    keep = {current, previous}
    return [n for n in ready if alias_of(n) == alias and n < current and n not in keep]


def superfluous(
    collections: Iterable[CollectionInfo], *, older_than_h: float, previous: bool
) -> list[str]:
    """Builds that nothing points at: unfinished ones, and with ``previous`` finished ones too.

    Args:
        collections: all there are.
        older_than_h: hours that an unfinished build must have begun ago.
        previous: the ones that are kept for a rollback as well.
    """
    since = datetime.now(UTC) - timedelta(hours=older_than_h)
    idle = [info for info in collections if not info.aliases]
    return [
        info.name
        for info in idle
        if (previous if info.metadata.status == "ready" else _begun(info) <= since)
    ]


def _begun(info: CollectionInfo) -> datetime:
    return datetime.fromisoformat(info.metadata.created_at)


def check_build(store: Store, name: str) -> list[str]:
    """Compare a collection with its metadata and itself; returns the problems found.

    Reads every point once: the count, every vector's length, and whether a sample of points is
    found by its own vector.
    """
    expected = store.describe(name).metadata.expected_points
    counted = store.count(name)
    problems = []
    if counted != expected:
        problems.append(f"{counted} points, {expected} expected")
    seen, bad, sample = 0, 0, []
    step = max(1, counted // _SAMPLE)
    for batch in store.scroll(name):
        lengths = np.linalg.norm(batch.vectors, axis=1)
        bad += int(np.sum(~(np.abs(lengths - 1) <= UNIT_TOLERANCE)))
        picked = range(-seen % step, len(batch), step)
        sample += [(batch.ids[i], batch.vectors[i]) for i in picked]
        seen += len(batch)
    if seen != counted:
        problems.append(f"{seen} points could be read, {counted} counted")
    if bad:
        problems.append(f"{bad} vectors are not finite and of unit length")
    elif lost := _not_found_by_own_vector(store, name, sample):
        problems.append(f"{lost} of {len(sample)} sampled points are not found by their own vector")
    return problems


def _not_found_by_own_vector(store: Store, name: str, sample: list[tuple[str, Vectors]]) -> int:
    if not sample:
        return 0
    vectors = np.stack([vector for _, vector in sample])
    lost = 0
    for (point_id, _), hits in zip(
        sample, store.query(name, vectors, limit=_SAMPLE_DEPTH), strict=True
    ):
        # A title that more concepts share than the depth of the query may crowd the point out.
        crowded = len(hits) == _SAMPLE_DEPTH and hits[-1].score > 1 - UNIT_TOLERANCE
        lost += not crowded and point_id not in {hit.id for hit in hits}
    return lost
