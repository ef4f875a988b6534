"""``jobsearch collections``: lists, checks, rolls back, copies and deletes collections."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from jobsearch.cli.options import (
    FOLDER_OR_NAME,
    Number,
    Place,
    as_json,
    confirmed,
    jobs_of,
    lasting_store,
    secret_of,
    with_store,
)
from jobsearch.cli.output import note, print_json, print_table, print_text
from jobsearch.settings import Secret, Settings

if TYPE_CHECKING:
    from ingest.transfer import Transferred
    from jobsearch.store.protocol import CollectionInfo

# Port of a server if its URL names none.
_QDRANT_PORT = 6333


@click.group()
def collections() -> None:
    """List, check, roll back, copy and delete the collections of a store."""


@collections.command("list")
@with_store
@as_json
def list_collections(settings: Settings, json_: bool) -> None:
    """List all collections: alias, points, sources, status and time."""
    jobs = jobs_of(settings)
    infos = jobs.collections()
    if json_:
        print_json(
            {"store": jobs.store.location, "collections": [_as_dict(info) for info in infos]}
        )
        return
    if not infos:
        note(f"the store {jobs.store.location} is empty: `jobsearch ingest sample` fills it")
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
    """Show the metadata of a collection: its encoder, sources and storage.

    NAME is an alias or a physical name.
    """
    data = _as_dict(jobs_of(settings).describe(name))
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
    problems = jobs_of(settings).verify(name)
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
    """Point ALIAS back at the previous build; a second rollback undoes the first."""
    name = jobs_of(settings).rollback(alias)
    if json_:
        print_json({"alias": alias, "collection": name})
    else:
        print_text(f"{alias} -> {name}")


@collections.command("remove-source")
@click.argument("alias")
@click.argument("source")
@confirmed("Remove this source's titles from the collection?")
@with_store
@as_json
def remove_source(settings: Settings, alias: str, source: str, json_: bool) -> None:
    """Remove all titles of SOURCE from the collection of ALIAS.

    The collection is built anew without them; the previous build is kept, so that
    `jobsearch collections rollback ALIAS` undoes it. `jobsearch collections list` shows the
    sources.
    """
    built = jobs_of(settings).remove_source(alias, source)
    kept = [f"{s.source} {s.split}".strip() for s in built.sources]
    if json_:
        print_json(
            {"alias": alias, "collection": built.name, "points": built.points, "sources": kept}
        )
        return
    print_text(f"{alias}: {built.points:,} points of {', '.join(kept) or 'no source'}")
    note(f"to undo it: jobsearch collections rollback {alias}")


@collections.command()
@click.argument("name")
@confirmed("Delete the collection for good?")
@with_store
def drop(settings: Settings, name: str) -> None:
    """Delete a collection by its physical NAME; the live build of an alias is refused."""
    jobs_of(settings).drop(name)
    print_text(f"deleted {name}")


@collections.command()
@click.option(
    "--hours",
    type=Number(min=0),
    default=24.0,
    show_default=True,
    help="Keep builds that never went live and are younger than this many hours: their ingests may "
    "be running.",
)
@click.option(
    "--previous", is_flag=True, help="Also delete the builds that are kept for `rollback`."
)
@confirmed("Delete these builds for good?")
@with_store
@as_json
def prune(settings: Settings, hours: float, previous: bool, json_: bool) -> None:
    """Delete builds that never went live, and files that killed deletions left.

    A server keeps the build of a killed ingest.
    """
    deleted = jobs_of(settings).prune(hours=hours, previous=previous)
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
    help="Let the server make its own snapshot, with its index. It is restored sooner, but only by "
    "a Qdrant server of the same version or the next, and not in a cluster.",
)
@with_store
@as_json
def snapshot(settings: Settings, name: str, file: Path, native: bool, json_: bool) -> None:
    """Write a collection into FILE, a Parquet file.

    NAME is an alias or a physical name. FILE can be restored into any store, embedded or on a
    server.
    """
    done = jobs_of(settings).snapshot(name, file, native=native)
    _print_transferred(done, str(file), json_=json_)


@collections.command()
@click.argument("file", type=Place())
@with_store
@as_json
def restore(settings: Settings, file: Path, json_: bool) -> None:
    """Make a collection from the snapshot in FILE.

    The alias then points at it; the previous build is kept for `rollback`.
    """
    jobs = jobs_of(settings)
    done = jobs.restore(file)
    _print_transferred(done, jobs.store.location, json_=json_)


@collections.command()
@click.argument("aliases", nargs=-1)
@click.option(
    "--to",
    required=True,
    type=FOLDER_OR_NAME,
    callback=lasting_store,
    metavar="PATH|URL",
    help="Store to copy to: a folder, or URL of a Qdrant server (its API key: "
    "JOBSEARCH_API_KEY_TO; JOBSEARCH_API_KEY if the copy comes from a folder or the same server).",
)
@with_store
@as_json
def migrate(settings: Settings, aliases: tuple[str, ...], to: str, json_: bool) -> None:
    """Copy the collections of ALIASES to another store.

    Without ALIASES, all collections with an alias are copied. An alias is set in the other store
    only after the number of points and the hits of sample queries were compared.
    """
    source = jobs_of(settings)
    target = jobs_of(replace(settings, store=to, api_key=_key_for(to, settings)))
    if _resolved(target.store.location) == _resolved(source.store.location):
        raise click.BadParameter(f"{to} is the store to copy from", param_hint="--to")
    done = source.migrate(target, aliases)
    if json_:
        migrated = [each.as_dict() for each in done]
        print_json({"to": target.store.location, "migrated": migrated})
    else:
        print_table([(d.alias, d.collection, d.points) for d in done], ("alias", "copy", "points"))


def _key_for(to: str, settings: Settings) -> Secret | None:
    """The API key for the store to copy to; another server never receives the source's key."""
    shared = not _is_server(settings.store) or _server(to) == _server(settings.store)
    return secret_of("JOBSEARCH_API_KEY_TO") or (settings.api_key if shared else None)


def _is_server(store: str) -> bool:
    return "://" in store


def _server(url: str) -> tuple[str, str | None, int] | None:
    """Scheme, host and port; None if the URL is invalid, which is reported when it is opened."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _QDRANT_PORT
    except ValueError:
        return None


def _resolved(location: str) -> str:
    """One form for all paths of the same folder."""
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
