"""The manifest of an embedded store: what its folders hold, replaced as a whole or not at all.

    <store>/manifest.json
    <store>/collections/<physical name>/<generation>/    the engine's files
    <store>/locks/

Example::

    {"layout": 1,
     "collections": {"jobs__en__builtin__pretrained__20261123t101500123456_1a2b3c4d": {
        "metadata": {"language": "en", ...}, "generation": 0,
        "files": {"segments/…/vector_storage/vectors/chunk_0.mmap": [33554432, 2711063]}}},
     "aliases": {"jobs__en__builtin__pretrained": "jobs__en__builtin__pretrained__2026…"}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobsearch.errors import StoreDamaged, StoreError
from jobsearch.files import put_in_place
from jobsearch.store.embedded.engine_files import Files
from jobsearch.store.lifecycle import (
    check_expected,
    no_build_before,
    not_complete,
    not_found,
)
from jobsearch.store.metadata import CollectionMetadata, alias_of, check_name

LAYOUT = 1
MANIFEST = "manifest.json"
COLLECTIONS = "collections"
LOCKS = "locks"


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """One collection.

    Args:
        metadata: as :meth:`CollectionMetadata.as_dict` gives it.
        generation: number of the folder that holds it; stores of earlier versions have others
            than 0.
        files: the sealed files; empty while the collection is being built.
    """

    metadata: Mapping[str, Any]
    generation: int = 0
    files: Files = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether its build was finished."""
        return self.metadata.get("status") == "ready"

    def parsed(self) -> CollectionMetadata:
        """The metadata, read.

        Raises:
            CollectionMismatch: another version wrote it.
        """
        return CollectionMetadata.from_dict(self.metadata)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store holds. Changes make a new manifest."""

    collections: Mapping[str, CollectionEntry] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def with_collection(self, name: str, entry: CollectionEntry) -> "Manifest":
        """With this entry added or replaced."""
        return replace(self, collections={**self.collections, name: entry})

    def without_collections(self, *names: str) -> "Manifest":
        """Without these collections."""
        left = {n: entry for n, entry in self.collections.items() if n not in names}
        return replace(self, collections=left)

    def with_alias(self, alias: str, name: str) -> "Manifest":
        """With the alias set."""
        return replace(self, aliases={**self.aliases, alias: name})


def read_manifest(path: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        FileNotFoundError: there is none.
        StoreDamaged: it cannot be read.
        StoreError: a newer or older jobsearch wrote it.
    """
    try:
        data = json.loads(path.read_bytes())
        if data["layout"] != LAYOUT:
            raise StoreError(
                f"{path} has layout {data['layout']!r}, this jobsearch reads {LAYOUT}: use the "
                "version that made it, or ingest the titles again with --store at another folder"
            )
        collections = {
            check_name(name): CollectionEntry(
                dict(entry["metadata"]),
                int(entry["generation"]),
                {str(file): (int(size), int(crc)) for file, (size, crc) in entry["files"].items()},
            )
            for name, entry in data["collections"].items()
        }
        aliases = {check_name(alias): check_name(n) for alias, n in data["aliases"].items()}
    except (
        ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
    ) as error:  # fmt: skip
        raise StoreDamaged(
            f"{path} cannot be read ({error}): restore it from a backup, or delete the folder "
            f"{path.parent} and ingest the titles again"
        ) from error
    return Manifest(collections, aliases)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replace ``manifest.json``: readers see the old one or the new one, also after a crash."""
    data = {
        "layout": LAYOUT,
        "collections": {
            name: {"metadata": e.metadata, "generation": e.generation, "files": e.files}
            for name, e in sorted(manifest.collections.items())
        },
        "aliases": dict(sorted(manifest.aliases.items())),
    }
    fresh = path.with_suffix(".json.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
    put_in_place(fresh, path)


def swapped(
    manifest: Manifest, alias: str, name: str, *, expected: str | None, location: str
) -> tuple[Manifest, list[str]]:
    """The manifest with ``alias`` at ``name``, and the collections that it lacks therefore.

    Kept are ``name`` and the build that it replaces; older ones go.
    """
    current = manifest.aliases.get(alias)
    check_expected(alias, current, expected)
    if name not in manifest.collections:
        raise not_found(name, location, manifest.aliases)
    if not manifest.collections[name].ready:
        raise not_complete(name)
    if current == name:
        return manifest, []
    moved = _remember(manifest, name, current or "").with_alias(alias, name)
    # Whatever their names say of their age: the clock may have been set back.
    kept = {name, current, *moved.aliases.values()}
    old = [
        n
        for n, entry in moved.collections.items()
        if entry.ready and alias_of(n) == alias and n not in kept
    ]
    return moved.without_collections(*old), old


def rolled_back(manifest: Manifest, alias: str, *, location: str) -> tuple[Manifest, str]:
    """The manifest with ``alias`` at the build before, and that build's name."""
    if alias not in manifest.aliases:
        raise not_found(alias, location, manifest.aliases)
    current = manifest.aliases[alias]
    previous = manifest.collections[current].metadata.get("previous", "")
    if previous not in manifest.collections:
        raise no_build_before(alias, current)
    return _remember(manifest, previous, current).with_alias(alias, previous), previous


def _remember(manifest: Manifest, name: str, previous: str) -> Manifest:
    entry = manifest.collections[name]
    return manifest.with_collection(
        name, replace(entry, metadata={**entry.metadata, "previous": previous})
    )
