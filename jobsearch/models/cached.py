"""Titles that are embedded by several processes, each on a GPU or on cores of its own.

As sentence-transformers' multi-process pool does it, but on the pool of Python's standard library,
which gives results while others are still being made. Each process watches its parent and ends with
it: one that waits for work would not notice that the parent was killed, and keep its GPU.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np

from jobsearch.errors import ModelError
from jobsearch.models.cache import EmbeddingCache
from jobsearch.models.catalog import model_files
from jobsearch.models.encoder import Encoder, TitleEncoder, map_ahead
from jobsearch.text import NORMALIZATION_VERSION
from jobsearch.types import EncoderInfo, Variant
from jobsearch.vectors import Vectors

# Libraries that have a say in how a model is read and described.
_LIBRARIES = ("sentence-transformers", "sentencepiece", "tokenizers", "torch", "transformers")
_BLOCK_BYTES = 1 << 20


class DeferredEncoder:
    """An encoder that is known before it is loaded.

    Implements :class:`jobsearch.models.encoder.TitleEncoder`; its methods raise ``ModelError`` if
    what is loaded is another encoder.

    Args:
        info: what it is.
        load: loads it.
    """

    def __init__(self, info: EncoderInfo, load: Callable[[], Encoder]) -> None:
        self.info = info
        self._load = load

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = self._load()
        if encoder.info != self.info:
            raise ModelError(
                f"the files of {self.info.model} {self.info.variant} were changed meanwhile: "
                "try again"
            )
        return encoder

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        return self._encoder.encode_documents(texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batch after batch; see :meth:`TitleEncoder.encode_document_batches`.

        Empty batches, all of whose titles were in the cache, load nothing.
        """
        left = iter(batches)
        for batch in left:
            if batch:
                with closing(self._encoder.encode_document_batches(chain([batch], left))) as rest:
                    yield from rest
                return
            yield np.empty((0, self.info.dim), dtype=np.float32)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are searched for: (n, dim) float32, rows of unit length, in order."""
        return self._encoder.encode_queries(texts)


def deferred_encoder(
    model: str,
    variant: Variant,
    models_dir: Path,
    load: Callable[[], Encoder],
    cache: EmbeddingCache,
) -> TitleEncoder:
    """The encoder that ``load`` loads; not loaded yet, if the cache knows it from its files.

    Raises:
        ModelError: there is no such model or variant, or it cannot be loaded.
    """
    files = model_files(model, variant, models_dir)
    try:
        digest = _digest(files, described=[model, variant]) if files else None
    except OSError:
        # Who loads it says what is wrong with it.
        digest = None
    if digest is None:
        return load()
    known = cache.encoder_info(digest)
    if known is not None:
        return DeferredEncoder(known, load)
    encoder = load()
    cache.put_encoder_info(digest, encoder.info)
    return encoder


def _digest(files: Sequence[Path], described: Sequence[str]) -> bytes:
    """SHA-256 over files, our own code that reads them, and versions of libraries."""
    digest = hashlib.sha256()
    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    for line in (*described, *libraries, f"normalization {NORMALIZATION_VERSION}"):
        digest.update(f"{line}\n".encode())
    for path in (*files, *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(f"{path} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.digest()


class WorkersEncoder:
    """An encoder whose titles are embedded, batch by batch, by several processes.

    Queries and single lists of titles are embedded in this process. Implements
    :class:`jobsearch.models.encoder.TitleEncoder`.

    Args:
        encoder: says what decides the vectors.
        load: loads the same encoder in another process; can be pickled.
        workers: number of processes. With GPUs, each takes the next of them; else each takes its
            share of the cores.
    """

    def __init__(self, encoder: TitleEncoder, load: Callable[[], Encoder], workers: int) -> None:
        self._encoder, self._load, self._workers = encoder, load, workers
        self._pool: ProcessPoolExecutor | None = None

    @property
    def info(self) -> EncoderInfo:
        """What decides the vectors."""
        return self._encoder.info

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are searched for: (n, dim) float32, rows of unit length, in order."""
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        return self._encoder.encode_documents(texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batch after batch; see :meth:`TitleEncoder.encode_document_batches`.

        Raises:
            ModelError: a process died, or loaded another model.
        """
        with _deaths():
            yield from map_ahead(self._submit, batches, workers=self._workers)

    def _submit(self, texts: Sequence[str]) -> Future[Vectors]:
        if not texts:
            # All of them were in the cache: for that no process is started.
            nothing: Future[Vectors] = Future()
            nothing.set_result(np.empty((0, self.info.dim), dtype=np.float32))
            return nothing
        if self._pool is None:
            # A fork would share the threads and the GPU of this process.
            context = multiprocessing.get_context("spawn")
            places = context.SimpleQueue()
            for place in range(self._workers):
                places.put(place)
            setup = (self._load, self.info, places, self._workers)
            self._pool = ProcessPoolExecutor(self._workers, context, _begin, setup)
        return self._pool.submit(_embed, list(texts))

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


@contextmanager
def _deaths() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise ModelError(
            "a process that embeds titles could not begin, or died: what it said is above; look "
            "whether the memory is full, then ingest again with fewer --workers. What was embedded "
            "is in the cache"
        ) from error


# In a worker: its encoder.
_encoder: Encoder | None = None


def _begin(
    load: Callable[[], Encoder], info: EncoderInfo, places: "SimpleQueue[int]", workers: int
) -> None:
    """What a worker does first: take its place and load the model there.

    Raises:
        ModelError: the model is another one by now.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches every process of a terminal: what it ends is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    place = places.get()
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    global _encoder  # noqa: PLW0603 # one a process
    _encoder = load()
    if _encoder.info != info:
        raise ModelError(f"the files of {info.model} {info.variant} were changed meanwhile")
    if torch.cuda.is_available():
        _encoder.network.to(f"cuda:{place % torch.cuda.device_count()}")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _embed(texts: list[str]) -> Vectors:
    if _encoder is None:
        raise RuntimeError("this process is no worker")
    return _encoder.encode_documents(texts)
