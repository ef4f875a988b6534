"""``jobsearch collections``: look at the store, check it, go back a build, copy, delete."""

from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from jobsearch.cli.options import FOLDER_OR_NAME, Place, as_json, confirmed, secret_of, with_store
from jobsearch.cli.output import bars_wanted, note, print_json, print_table, print_text
from jobsearch.errors import StoreLocked
from jobsearch.settings import Secret, Settings

if TYPE_CHECKING:
    from ingest.transfer import Transferred
    from jobsearch.store.protocol import CollectionInfo

# Where a server is asked if its URL names no port.
_QDRANT_PORT = 6333


@click.group()
def collections() -> None:
    """Look at the store's collections, check them, go back a build, copy them, delete them."""


@collections.command("list")
@with_store
@as_json
def list_collections(settings: Settings, json_: bool) -> None:
    """List all collections, with the alias that points at each."""
    from jobsearch.cli.session import store_of

    store = store_of(settings)
    infos = store.collections()
    if json_:
        print_json({"store": store.location, "collections": [_as_dict(info) for info in infos]})
        return
    if not infos:
        note(f"the store {store.location} is empty: `jobsearch ingest sample` fills it")
    print_table(
        [
            (
                ", ".join(info.aliases) or "(previous build)",
                info.points,
                ", ".join(f"{s.source} {s.split}".strip() for s in info.metadata.sources),
                info.metadata.status,
                info.metadata.created_at,
            )
            for info in infos
        ],
        headers=("alias", "points", "sources", "status", "created"),
    )


@collections.command()
@click.argument("name")
@with_store
@as_json
def describe(settings: Settings, name: str, json_: bool) -> None:
    """Show what a collection (an alias or a physical name) was made of."""
    from jobsearch.cli.session import store_of

    data = _as_dict(store_of(settings).describe(name))
    if json_:
        print_json(data)
    else:
        print_table(data.items(), headers=("key", "value"))


@collections.command()
@click.argument("name")
@with_store
@as_json
def verify(settings: Settings, name: str, json_: bool) -> None:
    """Check every point and file of a collection; exits 1 if there are problems."""
    from jobsearch.cli.session import store_of

    problems = store_of(settings).verify(name)
    if json_:
        print_json({"collection": name, "problems": problems})
    else:
        print_text("\n".join(problems) if problems else f"{name}: no problem found")
    if problems:
        raise click.exceptions.Exit(1)


@collections.command()
@click.argument("alias")
@with_store
@as_json
def rollback(settings: Settings, alias: str, json_: bool) -> None:
    """Point ALIAS back at the build before; doing it twice is an undo."""
    from jobsearch.cli.session import store_of

    name = store_of(settings).rollback(alias)
    if json_:
        print_json({"alias": alias, "collection": name})
    else:
        print_text(f"{alias} -> {name}")


@collections.command()
@click.argument("name")
@confirmed("Delete the collection for good?")
@with_store
def drop(settings: Settings, name: str) -> None:
    """Delete a collection by its physical NAME; one that an alias points at is refused."""
    from jobsearch.cli.session import store_of

    store_of(settings).drop(name)
    print_text(f"deleted {name}")


@collections.command()
@click.option(
    "--hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="Unfinished builds that began later than this are left alone: they may be under way.",
)
@click.option("--previous", is_flag=True, help="Also builds that are kept for `rollback`.")
@confirmed("Delete these builds for good?")
@with_store
@as_json
def prune(settings: Settings, hours: float, previous: bool, json_: bool) -> None:
    """Delete builds that were never finished, which a server keeps if an ingest was killed."""
    from jobsearch.cli.session import store_of
    from jobsearch.store.lifecycle import unused_builds

    store = store_of(settings)
    deleted = []
    for name in unused_builds(store.collections(), older_than_h=hours, previous=previous):
        try:
            store.drop(name)
        except StoreLocked as error:
            note(f"left alone: {error}")
        else:
            deleted.append(name)
    if json_:
        print_json({"deleted": deleted})
    else:
        print_text("\n".join(f"deleted {name}" for name in deleted) or "nothing to delete")


@collections.command()
@click.argument("name")
@click.argument("file", type=Place(dir_okay=False))
@click.option(
    "--native",
    is_flag=True,
    help="The server's own snapshot, with its index: restored sooner, but only by a Qdrant server "
    "of the same version or the next. Not of a cluster.",
)
@with_store
@as_json
def snapshot(settings: Settings, name: str, file: Path, native: bool, json_: bool) -> None:
    """Write a collection (an alias or a physical name) into FILE, a Parquet file.

    It can be restored into any store, embedded or on a server.
    """
    from ingest.transfer import write_server_snapshot, write_snapshot
    from jobsearch.cli.session import server_snapshots_of, store_of

    if native:
        with closing(server_snapshots_of(settings)) as snapshots:
            store = store_of(settings)
            done = write_server_snapshot(store, snapshots, name, file, progress=bars_wanted())
    else:
        done = write_snapshot(store_of(settings), name, file)
    _print_transferred(done, str(file), json_=json_)


@collections.command()
@click.argument("file", type=Place())
@with_store
@as_json
def restore(settings: Settings, file: Path, json_: bool) -> None:
    """Make a collection of the snapshot in FILE; the one before is kept for `rollback`."""
    from ingest.transfer import restore_server_snapshot, restore_snapshot
    from jobsearch.cli.session import server_snapshots_of, store_of
    from jobsearch.store.server.snapshots import is_server_snapshot

    store = store_of(settings)
    if is_server_snapshot(file):
        with closing(server_snapshots_of(settings)) as snapshots:
            done = restore_server_snapshot(file, store, snapshots, progress=bars_wanted())
    else:
        done = restore_snapshot(file, store, progress=bars_wanted())
    _print_transferred(done, store.location, json_=json_)


@collections.command()
@click.argument("aliases", nargs=-1)
@click.option(
    "--to",
    required=True,
    type=FOLDER_OR_NAME,
    metavar="PATH|URL",
    help="Store to copy to: a folder, or URL of a Qdrant server (its API key: "
    "JOBSEARCH_API_KEY_TO; JOBSEARCH_API_KEY if the copy comes from a folder or the same server).",
)
@with_store
@as_json
def migrate(settings: Settings, aliases: tuple[str, ...], to: str, json_: bool) -> None:
    """Copy collections to another store: those of ALIASES, or all that an alias points at.

    Counts and the answers to sample queries are compared before an alias is set there.
    """
    from ingest.transfer import migrate as copy
    from jobsearch.cli.session import store_of

    source = store_of(settings)
    target = store_of(replace(settings, store=to, api_key=_key_for(to, settings)))
    if _resolved(target.location) == _resolved(source.location):
        raise click.BadParameter(f"{to} is the store to copy from", param_hint="--to")
    done = [
        copy(source, alias, target, progress=bars_wanted()) for alias in aliases or source.aliases()
    ]
    if json_:
        print_json({"to": target.location, "migrated": [each.as_dict() for each in done]})
    else:
        print_table([(d.alias, d.collection, d.points) for d in done], ("alias", "copy", "points"))


def _key_for(to: str, settings: Settings) -> Secret | None:
    """The API key for the store to copy to: the source's is no business of another server."""
    shared = not _is_server(settings.store) or _server(to) == _server(settings.store)
    return secret_of("JOBSEARCH_API_KEY_TO") or (settings.api_key if shared else None)


def _is_server(store: str) -> bool:
    return "://" in store


def _server(url: str) -> tuple[str, str | None, int] | None:
    """Scheme, host and port; None if the URL cannot be read, which is said when it is opened."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _QDRANT_PORT
    except ValueError:
        return None


def _resolved(location: str) -> str:
    """The same for every way in which a folder can be written."""
    return location if _is_server(location) else str(Path(location).resolve())


def _print_transferred(done: "Transferred", where: str, *, json_: bool) -> None:
    if json_:
        print_json({**done.as_dict(), "to": where})
    else:
        print_text(f"{done.alias}: {done.points:,} points -> {where}")


def _as_dict(info: "CollectionInfo") -> dict[str, Any]:
    data = info.metadata.as_dict()
    data["sources"] = [asdict(source) for source in info.metadata.sources]
    return {"name": info.name, "aliases": list(info.aliases), "points": info.points, **data}
