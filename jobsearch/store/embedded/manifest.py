"""The manifest of an embedded store lists its collections and aliases; it is replaced atomically.

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
    check_alias_exists,
    check_expected,
    incomplete_build_error,
    no_previous_build_error,
    not_found_error,
    was_live,
)
from jobsearch.store.metadata import CollectionMetadata, alias_of, check_name

LAYOUT = 1


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """One collection in the manifest.

    Args:
        metadata: output of :meth:`CollectionMetadata.as_dict`.
        generation: number of the folder with its files; always 0 in new collections, but stores of
            earlier versions have higher ones.
        files: sizes and checksums of the sealed files; empty while the collection is being built.
    """

    metadata: Mapping[str, Any]
    generation: int = 0
    files: Files = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether its build is finished."""
        return self.metadata.get("status") == "ready"

    def parsed(self) -> CollectionMetadata:
        """Parse the metadata.

        Raises:
            CollectionMismatch: the metadata cannot be read, or has another schema version.
        """
        return CollectionMetadata.from_dict(self.metadata)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The collections and aliases of a store. Immutable: changes return a new manifest."""

    collections: Mapping[str, CollectionEntry] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def with_collection(self, name: str, entry: CollectionEntry) -> "Manifest":
        """Return a manifest with this entry added or replaced."""
        return replace(self, collections={**self.collections, name: entry})

    def without_collections(self, *names: str) -> "Manifest":
        """Return a manifest without these collections."""
        left = {n: entry for n, entry in self.collections.items() if n not in names}
        return replace(self, collections=left)

    def was_live(self, name: str) -> bool:
        """Whether the alias of a build pointed at it before; see :func:`lifecycle.was_live`."""
        live = self.aliases.get(alias_of(name))
        entry = self.collections.get(live or "")
        previous = str(entry.metadata.get("previous", "")) if entry else ""
        return was_live(name, live, previous, finished=self.collections[name].ready)

    def with_alias(self, alias: str, name: str) -> "Manifest":
        """Return a manifest in which ``alias`` points at ``name``."""
        return replace(self, aliases={**self.aliases, alias: name})


def read_manifest(path: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        FileNotFoundError: the file does not exist.
        StoreDamaged: the content is not a valid manifest.
        StoreError: another version of jobsearch wrote it, with another layout.
    """
    try:
        data = json.loads(path.read_bytes())
        if data["layout"] != LAYOUT:
            raise StoreError(
                f"{path} has layout {data['layout']!r}, and this jobsearch reads layout {LAYOUT}: "
                "use the version that wrote it, or set `store` to another folder and ingest the "
                "titles again"
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
    """Replace ``manifest.json`` atomically: readers see the old or the new one, even in a crash."""
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


def with_alias_swapped(
    manifest: Manifest, alias: str, name: str, *, expected: str | None, location: str
) -> tuple[Manifest, list[str]]:
    """Return the manifest with ``alias`` at ``name``, and the names of the builds removed from it.

    ``name`` and the build that it replaces stay; older finished builds for the alias are removed.
    """
    current = manifest.aliases.get(alias)
    check_expected(alias, current, expected)
    if name not in manifest.collections:
        raise not_found_error(name, location, manifest.aliases)
    if not manifest.collections[name].ready:
        raise incomplete_build_error(name)
    if current == name:
        return manifest, []
    moved = _with_previous(manifest, name, current or "").with_alias(alias, name)
    # Names are not compared by time: the clock may have been set back.
    kept = {name, current, *moved.aliases.values()}
    old = [
        n
        for n, entry in moved.collections.items()
        if entry.ready and alias_of(n) == alias and n not in kept
    ]
    return moved.without_collections(*old), old


def with_alias_rolled_back(
    manifest: Manifest, alias: str, *, location: str
) -> tuple[Manifest, str]:
    """Return the manifest with ``alias`` at its previous build, and that build's name."""
    check_alias_exists(alias, manifest.collections, manifest.aliases, location)
    current = manifest.aliases[alias]
    previous = manifest.collections[current].metadata.get("previous", "")
    if previous not in manifest.collections:
        raise no_previous_build_error(alias, current)
    return _with_previous(manifest, previous, current).with_alias(alias, previous), previous


def _with_previous(manifest: Manifest, name: str, previous: str) -> Manifest:
    entry = manifest.collections[name]
    return manifest.with_collection(
        name, replace(entry, metadata={**entry.metadata, "previous": previous})
    )
