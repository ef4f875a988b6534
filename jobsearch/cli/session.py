"""Settings made into the objects that commands work with."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobsearch.cli.output import note
from jobsearch.models import Encoder, find_model, load_encoder, short_name
from jobsearch.models.cache import EmbeddingCache, default_cache_dir
from jobsearch.models.cached import CachedEncoder, WorkersEncoder, deferred_encoder
from jobsearch.models.encoder import DocumentEncoder
from jobsearch.search import SearchEngine
from jobsearch.settings import Settings
from jobsearch.store import open_server_snapshots, open_store
from jobsearch.types import VARIANTS, Topology, Variant

if TYPE_CHECKING:
    from jobsearch.store.protocol import Store
    from jobsearch.store.server.snapshots import ServerSnapshots


def store_of(settings: Settings, topology: Topology = Topology()) -> "Store":
    """Open the store that the settings name; on a server, collections are spread like this."""
    return open_store(
        settings.store,
        api_key=settings.api_key.reveal() if settings.api_key else None,
        timeout_s=settings.timeout_s,
        retry_s=settings.retry_s,
        topology=topology,
    )


def server_snapshots_of(settings: Settings) -> "ServerSnapshots":
    """The snapshots that the settings' store makes itself, if it is a server."""
    return open_server_snapshots(
        settings.store,
        api_key=settings.api_key.reveal() if settings.api_key else None,
        timeout_s=settings.timeout_s,
    )


def encoder_of(settings: Settings, variant: Variant) -> Encoder:
    """Load a variant of the model that the settings name."""
    return load_encoder(settings.model, variant, settings.models_dir)


@contextmanager
def ingest_encoder(
    settings: Settings, variant: Variant, *, cache_dir: Path | None, cache_mb: int, workers: int
) -> Iterator[DocumentEncoder]:
    """The encoder of an ingest: loaded when a title is not in the cache of embeddings.

    Args:
        settings: name the model.
        variant: which of its variants.
        cache_dir: folder of the cache; None for that of the operating system.
        cache_mb: its size; 0 for no cache.
        workers: number of processes that embed.
    """
    load = partial(load_encoder, settings.model, variant, settings.models_dir)

    def load_here() -> Encoder:
        note(f"loading {settings.model} {variant}")
        return load()

    with ExitStack() as opened:
        cache = None
        if cache_mb:
            folder = cache_dir or default_cache_dir()
            cache = opened.enter_context(closing(EmbeddingCache(folder, cache_mb)))
        encoder = (
            deferred_encoder(settings.model, variant, settings.models_dir, load_here, cache)
            if cache
            else load_here()
        )
        if workers > 1:
            encoder = opened.enter_context(closing(WorkersEncoder(encoder, load, workers)))
        if cache is None:
            yield encoder
            return
        sparing = CachedEncoder(encoder, cache)
        yield sparing
    if sparing.hits:
        note(f"{sparing.hits:,} embeddings came from the cache")


def search_engine(settings: Settings) -> SearchEngine:
    """A search engine over the settings' store and model."""
    return SearchEngine(
        store_of(settings), short_name(settings.model), lambda v: encoder_of(settings, v)
    )


def variants_to_build(settings: Settings) -> tuple[Variant, ...]:
    """The variants to ingest or evaluate: the one asked for, else every one that exists."""
    for variant in VARIANTS:
        if settings.variant == variant:
            return (variant,)
    variants = find_model(settings.model, settings.models_dir).variants
    if "finetuned" not in variants:
        note(f"{settings.model} has no finetuned variant yet: using pretrained")
    return variants
