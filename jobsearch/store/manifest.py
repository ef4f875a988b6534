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
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobsearch.errors import StoreDamaged, StoreError
from jobsearch.store.metadata import CollectionMetadata
from jobsearch.store.names import check_name
from jobsearch.store.sparse import blocks
from jobsearch.whole_file import put_in_place

LAYOUT = 1
MANIFEST = "manifest.json"
COLLECTIONS = "collections"
LOCKS = "locks"
#: Where the engine keeps its points, in the collection's folder.
SEGMENTS = "segments"

#: Path inside the collection's folder -> size in bytes and CRC-32.
Files = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One collection.

    Args:
        metadata: as :meth:`CollectionMetadata.as_dict` gives it.
        generation: number of the folder that holds it; a delete writes the next one.
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

    collections: Mapping[str, Entry] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def having(self, name: str, entry: Entry) -> "Manifest":
        """With this entry added or replaced."""
        return replace(self, collections={**self.collections, name: entry})

    def lacking(self, *names: str) -> "Manifest":
        """Without these collections."""
        left = {n: entry for n, entry in self.collections.items() if n not in names}
        return replace(self, collections=left)

    def pointing(self, alias: str, name: str) -> "Manifest":
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
            check_name(name): Entry(
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


def checksums(folder: Path) -> dict[str, tuple[int, int]]:
    """Sizes and CRC-32s of all files below ``folder``."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {str(path.relative_to(folder)): path for path in files}
    return {name: (path.stat().st_size, _crc32(path)) for name, path in found.items()}


def damage(folder: Path, files: Files) -> list[str]:
    """What differs between the files below ``folder`` and what was sealed; empty if nothing."""
    problems: list[str] = []
    for name, (size, _) in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif path.stat().st_size != size:
            problems.append(f"{path} has {path.stat().st_size:,} bytes, {size:,} expected")
    problems += _strangers(folder, files)
    # Reading everything pays only if that is all in order.
    return problems or [
        f"{folder / name} was altered (its checksum differs)"
        for name, (_, crc) in files.items()
        if _crc32(folder / name) != crc
    ]


def _strangers(folder: Path, files: Files) -> list[str]:
    """Segments that were not sealed: the engine would answer from them too."""
    sealed = {Path(name).parts[:2] for name in files}
    there = (folder / SEGMENTS).iterdir() if (folder / SEGMENTS).is_dir() else ()
    return [
        f"{path} is not part of it"
        for path in sorted(there)
        if path.is_dir() and path.relative_to(folder).parts not in sealed
    ]


def _crc32(path: Path) -> int:
    """CRC-32 over the blocks that are not all zeros, and where they stand.

    The engine lays its files out in 32 MB pieces that are mostly holes, so they are skipped; a
    copy of the file without holes has the same sum.
    """
    crc = 0
    for start, block in blocks(path):
        crc = zlib.crc32(block, zlib.crc32(start.to_bytes(8, "little"), crc))
    return crc
