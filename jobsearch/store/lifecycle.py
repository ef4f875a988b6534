"""Rules for builds that all engines share: errors, old builds to delete, and checks."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from jobsearch.errors import (
    CollectionChanged,
    CollectionInUse,
    CollectionMismatch,
    CollectionNotFound,
    InvalidInput,
    StoreDamaged,
    StoreError,
)
from jobsearch.store.metadata import alias_of, is_build_name
from jobsearch.store.protocol import CollectionInfo, Store
from jobsearch.store.ranking import UNIT_TOLERANCE
from jobsearch.vectors import Vectors

_logger = logging.getLogger(__name__)

# A century: no build is older, and dates end some centuries ago.
_MAX_HOURS = 876_600
_SAMPLE = 32
_SAMPLE_DEPTH = 100


def not_found_error(name: str, location: str, names: Iterable[str]) -> CollectionNotFound:
    """Return the error for a name that is neither a collection nor an alias.

    Args:
        name: the unknown name.
        location: of the store.
        names: that could have been meant.
    """
    known = ", ".join(sorted(names))
    return CollectionNotFound(
        f"no collection {name} in {location} ({f'it has {known}' if known else 'it is empty'}): "
        "make one with `jobsearch ingest sample` or `jobsearch ingest esco PATH`"
    )


def no_previous_build_error(alias: str, current: str) -> CollectionNotFound:
    """Return the error for a rollback of an alias that has no previous build."""
    return CollectionNotFound(
        f"{alias} cannot be rolled back: no build before {current} is left; ingest the titles again"
    )


def check_alias_exists(
    alias: str, builds: Collection[str], aliases: Collection[str], location: str
) -> None:
    """Raise ``CollectionNotFound`` unless there is such an alias."""
    if alias in aliases:
        return
    if alias in builds:
        raise CollectionNotFound(f"{alias} is a build, not an alias: give {alias_of(alias)}")
    raise not_found_error(alias, location, aliases)


def incomplete_build_error(name: str) -> StoreError:
    """Return the error for reading or publishing a build that is not finished."""
    return StoreError(f"the build of collection {name} is not complete: ingest the titles again")


def not_writable_error(name: str, *, ready: bool) -> StoreError:
    """Return the error for writing to a build that is finished or belongs to another process."""
    state = "finished" if ready else "being built elsewhere"
    return StoreError(f"collection {name} is {state}: make a new build to add titles")


def taken_over_error(name: str) -> CollectionChanged:
    """Return the error for a build that another process has resumed."""
    return CollectionChanged(
        f"another process has resumed the build {name} (`resume=True`): wait until it is done"
    )


def check_build_name(name: str) -> None:
    """Raise ``ValueError`` unless the name follows the naming scheme of builds."""
    if not is_build_name(name):
        raise ValueError(f"{name!r} is not the name of a build: make one with build_name")


def check_count(name: str, counted: int, expected: int) -> None:
    """Raise ``StoreDamaged`` unless a build has the expected number of points."""
    if counted != expected:
        raise StoreDamaged(
            f"collection {name} has {counted:,} points, {expected:,} expected: "
            "ingest the titles again"
        )


def check_droppable(
    name: str, builds: Collection[str], aliases: Mapping[str, str], location: str
) -> None:
    """Check that a collection can be deleted by its physical name.

    Args:
        name: physical name.
        builds: physical names of all collections.
        aliases: alias -> physical name.
        location: of the store, for messages.

    Raises:
        CollectionNotFound: no collection has this name.
        StoreError: the name is an alias.
        CollectionInUse: an alias points at the collection.
    """
    if name in aliases:
        raise StoreError(
            f"{name} is an alias, whose live build {aliases[name]} cannot be deleted: give the "
            "physical name of another build, from `jobsearch collections list --json`"
        )
    if name not in builds:
        raise not_found_error(name, location, builds)
    if pointing := sorted(alias for alias, target in aliases.items() if target == name):
        raise CollectionInUse(
            f"collection {name} is in use as {', '.join(pointing)}: "
            "roll back or ingest again, then drop it"
        )


def check_expected(alias: str, current: str | None, expected: str | None) -> None:
    """Raise ``CollectionChanged`` if ``alias`` has moved since the build began."""
    if current != expected:
        raise CollectionChanged(
            f"{alias} pointed at {expected or 'nothing'} when this build began and now points at "
            f"{current or 'nothing'}: another ingest was faster, run this one again"
        )


def outdated_builds(alias: str, current: str, previous: str, ready: Iterable[str]) -> list[str]:
    """Return the builds for ``alias`` that are older than the current and not the previous one.

    Args:
        alias: the alias.
        current: build that the alias points at.
        previous: build that is kept for a rollback.
        ready: names of finished builds.
    """
    # The names of an alias's builds sort by build time.
    keep = {current, previous}
    return [n for n in ready if alias_of(n) == alias and n < current and n not in keep]


def readable(
    names: Iterable[str], describe: Callable[[str], CollectionInfo]
) -> list[CollectionInfo]:
    """Describe collections; leave out those that cannot be read, with a warning.

    Args:
        names: physical names.
        describe: looks up one collection.
    """
    infos = []
    for name in names:
        try:
            infos.append(describe(name))
        except CollectionNotFound:
            # Another process dropped it after the names were listed.
            continue
        except CollectionMismatch as error:
            _logger.warning("%s is left out: %s", name, error)
    return infos


def unused_builds(
    collections: Iterable[CollectionInfo], *, older_than_h: float, previous: bool
) -> list[str]:
    """Return the names of builds that no alias points at, except those that may go live soon.

    Args:
        collections: all collections of a store.
        older_than_h: minimum age, in hours, of a build that has never been live: its ingest may
            still be running.
        previous: include the builds that were live before, which are kept for a rollback.

    Raises:
        InvalidInput: the age is out of its range, or is not a number.
    """
    # NaN fails this comparison, too.
    if not 0 <= older_than_h <= _MAX_HOURS:
        raise InvalidInput(f"`hours` is {older_than_h}: give 0 to {_MAX_HOURS:,}")
    since = datetime.now(UTC) - timedelta(hours=older_than_h)
    infos = list(collections)
    live = {alias: info for info in infos for alias in info.aliases}
    return [
        info.name
        for info in infos
        if not info.aliases
        and (previous if _was_live(info, live.get(alias_of(info.name))) else _begun(info) <= since)
    ]


def _was_live(info: CollectionInfo, live: CollectionInfo | None) -> bool:
    finished = info.metadata.status == "ready"
    return live is not None and was_live(
        info.name, live.name, live.metadata.previous, finished=finished
    )


def was_live(name: str, live: str | None, previous: str, *, finished: bool) -> bool:
    """Whether the alias of a build pointed at it before; if not, its ingest may yet publish it.

    Args:
        name: physical name of a build that is not live.
        live: physical name of the live build of its alias, None if there is none.
        previous: the previous build of the live one.
        finished: whether the build is finished.
    """
    # After a rollback, the previous build is the later one.
    return finished and live is not None and (name == previous or name < live)


def _begun(info: CollectionInfo) -> datetime:
    return datetime.fromisoformat(info.metadata.created_at)


def check_build(store: Store, name: str) -> list[str]:
    """Check a collection and return the problems found.

    Reads every point once. Checks the number of points, the length of every vector, and that a
    query with a stored vector finds its point, for a sample of points.
    """
    expected = store.describe(name).metadata.expected_points
    counted = store.count(name)
    problems = []
    if counted != expected:
        problems.append(f"{counted} points, {expected} expected")
    read, bad, sample = 0, 0, []
    step = max(1, counted // _SAMPLE)
    for batch in store.scroll(name):
        lengths = np.linalg.norm(batch.vectors, axis=1)
        bad += int(np.sum(~(np.abs(lengths - 1) <= UNIT_TOLERANCE)))
        picked = range(-read % step, len(batch), step)
        sample += [(batch.ids[i], batch.vectors[i]) for i in picked]
        read += len(batch)
    if read != counted:
        problems.append(f"{read} points could be read, {counted} counted")
    if bad:
        problems.append(f"{bad} vectors are not finite and of unit length")
    elif lost := _count_lost(store, name, sample):
        problems.append(f"{lost} of {len(sample)} sampled points are not found by their own vector")
    return problems


def _count_lost(store: Store, name: str, sample: list[tuple[str, Vectors]]) -> int:
    """Count the points of the sample that a query with their own vector does not find."""
    if not sample:
        return 0
    vectors = np.stack([vector for _, vector in sample])
    lost = 0
    for (point_id, _), hits in zip(
        sample, store.query(name, vectors, limit=_SAMPLE_DEPTH), strict=True
    ):
        # If more concepts share a title than the query returns points, the point may be missing.
        crowded = len(hits) == _SAMPLE_DEPTH and hits[-1].score > 1 - UNIT_TOLERANCE
        lost += not crowded and point_id not in {hit.id for hit in hits}
    return lost
