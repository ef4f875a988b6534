"""Encoders of an ingest, put before the one that has the network.

:class:`CachedEncoder` takes embeddings from the cache on disk. :class:`DeferredEncoder` loads the
network when the first title has to be embedded: loading takes seconds, so the description of the
encoder is kept in the cache under a digest of the model's files. :class:`WorkersEncoder` embeds in
several processes, each on a GPU or on cores of its own.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
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
from jobsearch.models.encoder import DocumentEncoder, Encoder, map_ahead
from jobsearch.text import NORMALIZATION_VERSION, normalize_title
from jobsearch.types import EncoderInfo, Variant
from jobsearch.vectors import Vectors

# Libraries that have a say in how a model is read and described.
_LIBRARIES = ("sentence-transformers", "sentencepiece", "tokenizers", "torch", "transformers")
_BLOCK_BYTES = 1 << 20


class CachedEncoder:
    """Takes embeddings from the cache, and the others from another encoder.

    Implements :class:`jobsearch.models.encoder.DocumentEncoder`.

    Args:
        encoder: makes the vectors.
        cache: keeps them.
    """

    def __init__(self, encoder: DocumentEncoder, cache: EmbeddingCache) -> None:
        self._encoder, self._cache = encoder, cache
        #: Number of titles whose vectors came from the cache.
        self.hits = 0

    @property
    def info(self) -> EncoderInfo:
        """What decides the vectors."""
        return self._encoder.info

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        [vectors] = self.encode_document_batches([list(map(normalize_title, texts))])
        return vectors

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batch after batch; see :meth:`DocumentEncoder.encode_document_batches`."""
        looked_up: deque[tuple[Sequence[str], dict[str, Vectors]]] = deque()

        def missing() -> Iterator[list[str]]:
            for batch in batches:
                found = self._cache.get(self.info, batch)
                looked_up.append((batch, found))
                yield list(dict.fromkeys(text for text in batch if text not in found))

        with closing(self._encoder.encode_document_batches(missing())) as encoded:
            for vectors in encoded:
                texts, found = looked_up.popleft()
                self.hits += sum(text in found for text in texts)
                new = list(dict.fromkeys(text for text in texts if text not in found))
                self._cache.put(self.info, new, vectors)
                if len(new) == len(texts):
                    yield vectors
                else:
                    known = {**found, **dict(zip(new, vectors, strict=True))}
                    rows = [known[text] for text in texts]
                    yield np.array(rows, dtype=np.float32).reshape(len(rows), self.info.dim)


class DeferredEncoder:
    """An encoder whose description is known before it is loaded.

    Implements :class:`jobsearch.models.encoder.DocumentEncoder`. Its methods raise ``ModelError``
    if the loaded encoder has another description.

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
        """Embed batch after batch; see :meth:`DocumentEncoder.encode_document_batches`.

        Empty batches, all of whose titles were in the cache, load nothing.
        """
        left = iter(batches)
        for batch in left:
            if batch:
                with closing(self._encoder.encode_document_batches(chain([batch], left))) as rest:
                    yield from rest
                return
            yield np.empty((0, self.info.dim), dtype=np.float32)


def deferred_encoder(
    model: str,
    variant: Variant,
    models_dir: Path,
    load: Callable[[], Encoder],
    cache: EmbeddingCache,
) -> DocumentEncoder:
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


class WorkersEncoder:
    """An encoder whose titles are embedded, batch by batch, by several processes.

    It works like sentence-transformers' multi-process pool, but on the pool of Python's standard
    library, which returns results while others are still being made. Each process watches its
    parent and ends with it: a process that waits for work would not notice that the parent was
    killed, and would keep its GPU.

    Single lists of titles are embedded in this process. Implements
    :class:`jobsearch.models.encoder.DocumentEncoder`.

    Args:
        encoder: says what decides the vectors.
        load: loads the same encoder in another process; can be pickled.
        workers: number of processes. With GPUs, each takes the next of them; else each takes its
            share of the cores.
    """

    def __init__(self, encoder: DocumentEncoder, load: Callable[[], Encoder], workers: int) -> None:
        self._encoder, self._load, self._workers = encoder, load, workers
        self._pool: ProcessPoolExecutor | None = None

    @property
    def info(self) -> EncoderInfo:
        """What decides the vectors."""
        return self._encoder.info

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        return self._encoder.encode_documents(texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batch after batch; see :meth:`DocumentEncoder.encode_document_batches`.

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
