"""``jobsearch cache``: the embeddings that ingests keep."""

from dataclasses import asdict
from pathlib import Path

import click

from jobsearch.cli.options import as_json, cache_dir
from jobsearch.cli.output import print_json, print_text


@click.group()
def cache() -> None:
    """Look at the cache of embeddings, or make it smaller.

    Every ingest keeps its embeddings there and takes from it what it finds, so that no title is
    embedded twice by the same model. It may be deleted at any time.
    """


@cache.command()
@cache_dir
@as_json
def info(cache_dir: Path | None, json_: bool) -> None:
    """Show where it is, and what it holds."""
    _print(cache_dir, None, json_=json_)


@cache.command()
@click.option(
    "--size",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MB",
    help="What to keep of it, the newest first.",
)
@cache_dir
@as_json
def prune(size: int, cache_dir: Path | None, json_: bool) -> None:
    """Delete the oldest embeddings, or all of them."""
    _print(cache_dir, size, json_=json_)


def _print(folder: Path | None, size: int | None, *, json_: bool) -> None:
    from jobsearch.models.cache import EmbeddingCache, default_cache_dir

    embeddings = EmbeddingCache(folder or default_cache_dir())
    contents = embeddings.contents() if size is None else embeddings.prune(size)
    embeddings.close()
    if json_:
        print_json({"path": str(embeddings.path), **asdict(contents)})
    else:
        megabytes = contents.size_bytes / (1 << 20)
        print_text(f"{embeddings.path}: {contents.vectors:,} embeddings, {megabytes:,.1f} MB")
