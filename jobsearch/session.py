"""The resources behind the facade: an open store and loaded encoders, safe in threads and forks."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from jobsearch.settings import Settings
from jobsearch.types import VARIANTS, Topology, Variant

if TYPE_CHECKING:
    from jobsearch.models.cache import EmbeddingCache
    from jobsearch.models.encoder import DocumentEncoder, Encoder
    from jobsearch.search.engine import SearchEngine
    from jobsearch.store.protocol import Store
    from jobsearch.store.server.snapshots import ServerSnapshots


DEFAULT_CACHE_MB = 2048


class Session:
    """An open store and the encoders of a model.

    Safe in threads. After a fork, and when it is pickled into another process, it opens the store
    again by itself.

    Args:
        settings: name the store and the model.
        notify: receives messages about the progress of long work, one line each.
        progress: draw bars on the standard error, if that is a terminal.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        notify: Callable[[str], None] | None = None,
        progress: bool = False,
    ) -> None:
        self.settings = settings
        self._notify = notify or _ignore
        self._progress = progress
        self._encoders: dict[Variant, Encoder] = {}
        self._store: Store | None = None
        self._reset()
        _sessions.add(self)

    def _reset(self) -> None:
        """Forget the open store: its threads and connections belong to the process that opened it.

        Encoders stay: their weights are shared with the parent process.
        """
        self._lock = threading.RLock()
        # Closing what a fork copied could disturb the parent, so it is only put aside.
        self._abandoned = self._store
        self._store = None
        self._engine: SearchEngine | None = None

    def _reset_after_fork(self) -> None:
        """In the new process: another thread of the parent may have held the encoders' locks."""
        self._reset()
        self._encoders = {
            variant: type(encoder)(encoder.network, encoder.info)
            for variant, encoder in self._encoders.items()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), progress=self._progress), (self.settings,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release files and connections. Using the object again opens the store again."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._reset()

    @property
    def store(self) -> "Store":
        """The store, opened when first needed."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    def _open_store(self, topology: Topology = Topology()) -> "Store":
        from jobsearch.store import open_store

        return open_store(
            self.settings.store,
            api_key=self.settings.api_key.reveal() if self.settings.api_key else None,
            timeout_s=self.settings.timeout_s,
            retry_s=self.settings.retry_s,
            topology=topology,
        )

    def encoder(self, variant: Variant) -> "Encoder":
        """The encoder of a variant, loaded when first needed.

        Raises:
            ModelError: the model cannot be loaded.
        """
        from jobsearch.models import load_encoder

        with self._lock:
            if variant not in self._encoders:
                settings = self.settings
                self._encoders[variant] = load_encoder(settings.model, variant, settings.models_dir)
            return self._encoders[variant]

    @contextmanager
    def _document_encoders(
        self, *, cache_dir: Path | None = None, cache_mb: int = DEFAULT_CACHE_MB, workers: int = 1
    ) -> "Iterator[list[DocumentEncoder]]":
        """An encoder per variant, loaded when a title is not in the cache of embeddings.

        Args:
            cache_dir: folder of the cache; that of the operating system if None.
            cache_mb: size of the cache; 0 uses none.
            workers: number of processes that embed.
        """
        from jobsearch.models.cache import EmbeddingCache, default_cache_dir
        from jobsearch.models.cached import CachedEncoder

        folder = cache_dir or default_cache_dir()
        with ExitStack() as opened:
            cache = None
            if cache_mb:
                cache = opened.enter_context(closing(EmbeddingCache(folder, cache_mb)))
            encoders = [
                self._document_encoder(variant, cache, workers, opened)
                for variant in self.variants()
            ]
            yield encoders
        hits = sum(each.hits for each in encoders if isinstance(each, CachedEncoder))
        if hits:
            self._notify(f"{hits:,} embeddings came from the cache")

    def _document_encoder(
        self, variant: Variant, cache: "EmbeddingCache | None", workers: int, opened: ExitStack
    ) -> "DocumentEncoder":
        from jobsearch.models import load_encoder
        from jobsearch.models.cached import CachedEncoder, WorkersEncoder, deferred_encoder

        model, models_dir = self.settings.model, self.settings.models_dir

        def load_here() -> "Encoder":
            self._notify(f"loading {model} {variant}")
            return self.encoder(variant)

        encoder: DocumentEncoder = (
            deferred_encoder(model, variant, models_dir, load_here, cache) if cache else load_here()
        )
        if workers > 1:
            load = partial(load_encoder, model, variant, models_dir)
            encoder = opened.enter_context(closing(WorkersEncoder(encoder, load, workers)))
        return CachedEncoder(encoder, cache) if cache else encoder

    def _model_directory(self) -> str | None:
        """Absolute path of the model, None if it is not a directory."""
        from jobsearch.models.catalog import model_directory

        directory = model_directory(self.settings.model)
        return None if directory is None else str(directory)

    def variants(self) -> tuple[Variant, ...]:
        """The variants to ingest or evaluate: the chosen one, else every one that exists."""
        from jobsearch.models import find_model

        settings = self.settings
        for variant in VARIANTS:
            if settings.variant == variant:
                return (variant,)
        variants = find_model(settings.model, settings.models_dir).variants
        if "finetuned" not in variants:
            self._notify(f"{settings.model} has no finetuned variant yet: using pretrained")
        return variants

    def _server_snapshots(self) -> "ServerSnapshots":
        from jobsearch.store import open_server_snapshots

        return open_server_snapshots(
            self.settings.store,
            api_key=self.settings.api_key.reveal() if self.settings.api_key else None,
            timeout_s=self.settings.timeout_s,
        )


def _ignore(message: str) -> None:
    pass


#: All sessions of the process, to be reset after a fork.
_sessions: "WeakSet[Session]" = WeakSet()


def _after_fork() -> None:
    """In the new process: open stores again, and let torch use no threads that were not copied."""
    for session in list(_sessions):
        session._reset_after_fork()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
