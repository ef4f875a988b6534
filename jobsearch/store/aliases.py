"""How an alias moves in the manifest of an embedded store."""

from dataclasses import replace

from jobsearch.store.builds import (
    check_expected,
    no_build_before,
    not_complete,
    not_found,
)
from jobsearch.store.manifest import Manifest
from jobsearch.store.names import alias_of


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
    moved = _remember(manifest, name, current or "").pointing(alias, name)
    # Whatever their names say of their age: the clock may have been set back.
    kept = {name, current, *moved.aliases.values()}
    old = [
        n
        for n, entry in moved.collections.items()
        if entry.ready and alias_of(n) == alias and n not in kept
    ]
    return moved.lacking(*old), old


def rolled_back(manifest: Manifest, alias: str, *, location: str) -> tuple[Manifest, str]:
    """The manifest with ``alias`` at the build before, and that build's name."""
    if alias not in manifest.aliases:
        raise not_found(alias, location, manifest.aliases)
    current = manifest.aliases[alias]
    previous = manifest.collections[current].metadata.get("previous", "")
    if previous not in manifest.collections:
        raise no_build_before(alias, current)
    return _remember(manifest, previous, current).pointing(alias, previous), previous


def _remember(manifest: Manifest, name: str, previous: str) -> Manifest:
    entry = manifest.collections[name]
    return manifest.having(name, replace(entry, metadata={**entry.metadata, "previous": previous}))
