"""``jobsearch collections``: look at the store, check it, go back a build, delete."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import as_json, with_store
from jobsearch.cli.output import note, print_json, print_table
from jobsearch.settings import Settings

if TYPE_CHECKING:
    from jobsearch.store.base import CollectionInfo


@click.group()
def collections() -> None:
    """Look at the store's collections, check them, go back to the build before, delete them."""


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
        click.echo("\n".join(problems) if problems else f"{name}: no problem found")
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
        click.echo(f"{alias} -> {name}")


@collections.command()
@click.argument("name")
@click.confirmation_option("--yes", prompt="Delete the collection for good?")
@with_store
def drop(settings: Settings, name: str) -> None:
    """Delete a collection by its physical NAME; one that an alias points at is refused."""
    from jobsearch.cli.session import store_of

    store_of(settings).drop(name)
    click.echo(f"deleted {name}")


def _as_dict(info: "CollectionInfo") -> dict[str, Any]:
    data = info.metadata.as_dict()
    data["sources"] = [asdict(source) for source in info.metadata.sources]
    return {"name": info.name, "aliases": list(info.aliases), "points": info.points, **data}
