"""``jobsearch cache``: shows and prunes the cache of embeddings."""

from dataclasses import asdict
from pathlib import Path

import click

from jobsearch.cli.options import as_json, cache_dir
from jobsearch.cli.output import print_json, print_text


@click.group()
def cache() -> None:
    """Show or shrink the cache of embeddings.

    Every ingest stores its embeddings in the cache, so that a model embeds no title twice. The
    cache may be deleted at any time.
    """


@cache.command()
@cache_dir
@as_json
def info(cache_dir: Path | None, json_: bool) -> None:
    """Show the cache's file, the number of its embeddings, and its size."""
    _prune_and_print(cache_dir, None, json_=json_)


@cache.command()
@click.option(
    "--size",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MB",
    help="Size to keep; the newest embeddings stay. 0 deletes all.",
)
@cache_dir
@as_json
def prune(size: int, cache_dir: Path | None, json_: bool) -> None:
    """Delete the oldest embeddings, or all (the default)."""
    _prune_and_print(cache_dir, size, json_=json_)


def _prune_and_print(folder: Path | None, size: int | None, *, json_: bool) -> None:
    """Prune the cache to a size in MB, unless it is None, and print its contents."""
    from jobsearch.models.cache import EmbeddingCache, default_cache_dir

    embeddings = EmbeddingCache(folder or default_cache_dir())
    contents = embeddings.contents() if size is None else embeddings.prune(size)
    embeddings.close()
    if json_:
        print_json({"path": str(embeddings.path), **asdict(contents)})
    else:
        megabytes = contents.size_bytes / (1 << 20)
        print_text(f"{embeddings.path}: {contents.vectors:,} embeddings, {megabytes:,.1f} MB")
