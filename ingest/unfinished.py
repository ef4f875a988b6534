"""A build on a server that was interrupted, and can be gone on with."""

from collections.abc import Set
from dataclasses import dataclass

from jobsearch.store import CollectionMetadata, Store
from jobsearch.store.names import alias_of


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An interrupted build: its name, and the ids of those wanted points that it has."""

    name: str
    stored: Set[str]


def find_unfinished(
    store: Store, alias: str, wanted: CollectionMetadata, ids: Set[str]
) -> Unfinished | None:
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
    return Unfinished(name, ids & {i for points in store.scroll(name) for i in points.ids})


def _plan(metadata: CollectionMetadata) -> tuple[object, ...]:
    return metadata.language, metadata.encoder, metadata.sources, metadata.storage
