"""The collection that an ingest replaces, and what of it must not be lost."""

from dataclasses import dataclass

from jobsearch.errors import CollectionMismatch, StoreDamaged
from jobsearch.store import Store, check_collection
from jobsearch.types import EncoderInfo, SourceInfo, VectorStorage


@dataclass(frozen=True, slots=True)
class Live:
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


def find_live(
    store: Store,
    alias: str,
    replaced: tuple[str, str],
    *,
    language: str,
    encoder: EncoderInfo,
    force: bool,
) -> Live:
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
        return Live(None)
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
            return Live(name)
        lost = ", ".join(map(source_label, others)) if others else "whatever it holds"
        raise type(error)(
            f"{error}. Titles of other sources cannot be kept ({lost}): --force drops them"
        ) from error
    # Titles may have been deleted since: then the source is no longer there as it was.
    complete = found.points == sum(s.points for s in found.metadata.sources)
    same = next(
        (s for s in found.metadata.sources if complete and (s.source, s.split) == replaced), None
    )
    return Live(name, others, same, found.points, found.metadata.storage)


def source_label(info: SourceInfo) -> str:
    """A source and its split, for people."""
    return f"{info.source} {info.split}".strip()
