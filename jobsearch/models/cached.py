"""Encoders that make an ingest faster; each wraps another encoder.

:class:`CachedEncoder` takes embeddings from the cache on disk and computes only the missing ones.
:class:`DeferredEncoder` loads the network only when a title must be embedded, because loading takes
seconds; the cache keeps the description of the encoder under a digest of the model's files.
:class:`WorkersEncoder` embeds in several processes, each on its own GPU or its own cores.
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

# A new version of these libraries may load or describe a model differently.
_LIBRARIES = ("sentence-transformers", "sentencepiece", "tokenizers", "torch", "transformers")
_BLOCK_BYTES = 1 << 20


class CachedEncoder:
    """Takes embeddings from the cache and computes only the missing ones.

    Implements :class:`jobsearch.models.encoder.DocumentEncoder`.

    Args:
        encoder: computes the missing embeddings.
        cache: also stores them.
    """

    def __init__(self, encoder: DocumentEncoder, cache: EmbeddingCache) -> None:
        self._encoder, self._cache = encoder, cache
        #: Number of titles whose vectors came from the cache.
        self.hits = 0

    @property
    def info(self) -> EncoderInfo:
        """Identifies the encoder."""
        return self._encoder.info

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed stored titles: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        [vectors] = self.encode_document_batches([list(map(normalize_title, texts))])
        return vectors

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batches; see :meth:`DocumentEncoder.encode_document_batches`."""
        # The wrapped encoder is a few batches ahead of the caller: these wait for their vectors.
        pending: deque[tuple[Sequence[str], dict[str, Vectors], list[str]]] = deque()

        def missing_texts() -> Iterator[list[str]]:
            for batch in batches:
                cached = self._cache.get(self.info, batch)
                missing = list(dict.fromkeys(text for text in batch if text not in cached))
                pending.append((batch, cached, missing))
                yield missing

        with closing(self._encoder.encode_document_batches(missing_texts())) as encoded:
            for vectors in encoded:
                texts, cached, missing = pending.popleft()
                self.hits += sum(text in cached for text in texts)
                self._cache.put(self.info, missing, vectors)
                if len(missing) == len(texts):
                    yield vectors
                else:
                    by_text = {**cached, **dict(zip(missing, vectors, strict=True))}
                    rows = [by_text[text] for text in texts]
                    yield np.array(rows, dtype=np.float32).reshape(len(rows), self.info.dim)


class DeferredEncoder:
    """An encoder that is identified before it is loaded, and loaded when it must embed a title.

    Implements :class:`jobsearch.models.encoder.DocumentEncoder`. Its methods raise ``ModelError``
    if the loaded encoder is not the one that ``info`` identifies.

    Args:
        info: identifies the encoder.
        load: loads the encoder.
    """

    def __init__(self, info: EncoderInfo, load: Callable[[], Encoder]) -> None:
        self.info = info
        self._load = load

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = self._load()
        if encoder.info != self.info:
            raise ModelError(
                f"the files of {self.info.model} {self.info.variant} changed during this run: "
                "try again"
            )
        return encoder

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed stored titles: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        return self._encoder.encode_documents(texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batches; see :meth:`DocumentEncoder.encode_document_batches`.

        Empty batches do not load the encoder: their titles were all in the cache.
        """
        remaining = iter(batches)
        for batch in remaining:
            if batch:
                batches = chain([batch], remaining)
                with closing(self._encoder.encode_document_batches(batches)) as encoded:
                    yield from encoded
                return
            yield np.empty((0, self.info.dim), dtype=np.float32)


def deferred_encoder(
    model: str,
    variant: Variant,
    models_dir: Path,
    load: Callable[[], Encoder],
    cache: EmbeddingCache,
) -> DocumentEncoder:
    """The encoder that ``load`` returns, loaded later if the cache can identify it now.

    The cache knows the encoder if the model's files, our code and the libraries are unchanged.

    Args:
        model: short name, directory or Hugging Face id.
        variant: pretrained or finetuned.
        models_dir: folder with the fine-tuned variants.
        load: loads the encoder.
        cache: keeps the descriptions of encoders.

    Raises:
        ModelError: there is no such model or variant, or it cannot be loaded.
    """
    files = model_files(model, variant, models_dir)
    try:
        digest = _digest(files, model, variant) if files else None
    except OSError:
        # Loading reports what is wrong with the files.
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
    """Embeds batches of titles in several processes.

    Like sentence-transformers' multi-process pool, but with the process pool of Python's standard
    library, which returns the first results while later batches are still being embedded. Each
    process watches its parent and exits with it: otherwise a process that waits for work would
    outlive a killed parent and keep its GPU.

    :meth:`encode_documents` runs in this process. Implements
    :class:`jobsearch.models.encoder.DocumentEncoder`.

    Args:
        encoder: the encoder in this process.
        load: loads the same encoder in another process; can be pickled.
        workers: number of processes. They take the GPUs in turn; without GPUs, each takes an equal
            share of the cores.
    """

    def __init__(self, encoder: DocumentEncoder, load: Callable[[], Encoder], workers: int) -> None:
        self._encoder, self._load, self._workers = encoder, load, workers
        self._pool: ProcessPoolExecutor | None = None

    @property
    def info(self) -> EncoderInfo:
        """Identifies the encoder."""
        return self._encoder.info

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed stored titles: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        return self._encoder.encode_documents(texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batches; see :meth:`DocumentEncoder.encode_document_batches`.

        Raises:
            ModelError: a process died, or loaded another encoder.
        """
        with _process_errors():
            yield from map_ahead(self._submit, batches, workers=self._workers)

    def _submit(self, texts: Sequence[str]) -> Future[Vectors]:
        if not texts:
            # All titles were in the cache: that needs no process.
            empty: Future[Vectors] = Future()
            empty.set_result(np.empty((0, self.info.dim), dtype=np.float32))
            return empty
        if self._pool is None:
            # A forked process would share the threads and the GPU of this one.
            context = multiprocessing.get_context("spawn")
            numbers = context.SimpleQueue()
            for number in range(self._workers):
                numbers.put(number)
            arguments = (self._load, self.info, numbers, self._workers)
            self._pool = ProcessPoolExecutor(self._workers, context, _start_worker, arguments)
        return self._pool.submit(_embed_in_worker, list(texts))

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _digest(files: Sequence[Path], model: str, variant: Variant) -> bytes:
    """SHA-256 over a model's files, our code that loads them, and the versions of libraries."""
    digest = hashlib.sha256()
    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    for line in (model, variant, *libraries, f"normalization {NORMALIZATION_VERSION}"):
        digest.update(f"{line}\n".encode())
    for path in (*files, *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(f"{path} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.digest()


@contextmanager
def _process_errors() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise ModelError(
            "a process that embeds titles could not start, or died: see its output above. Check "
            "whether the memory is full, then ingest again with fewer `workers`; the finished "
            "embeddings are in the cache"
        ) from error


# The encoder of a worker process.
_worker_encoder: Encoder | None = None


def _start_worker(
    load: Callable[[], Encoder], info: EncoderInfo, numbers: "SimpleQueue[int]", workers: int
) -> None:
    """Load the encoder in a worker process, on its GPU or with its share of the cores.

    Args:
        load: loads the encoder.
        info: identifies the expected encoder.
        numbers: the numbers of the workers; each takes one.
        workers: number of workers.

    Raises:
        ModelError: the loaded encoder is not the expected one.
    """
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # Ctrl-C reaches every process in a terminal; the parent decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    number = numbers.get()
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    global _worker_encoder  # noqa: PLW0603 # one per process
    _worker_encoder = load()
    if _worker_encoder.info != info:
        raise ModelError(f"the files of {info.model} {info.variant} changed during this run")
    if torch.cuda.is_available():
        _worker_encoder.network.to(f"cuda:{number % torch.cuda.device_count()}")


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _embed_in_worker(texts: list[str]) -> Vectors:
    if _worker_encoder is None:
        raise RuntimeError("this process is not a worker")
    return _worker_encoder.encode_documents(texts)
