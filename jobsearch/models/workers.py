"""Titles that are embedded by several processes, each on a GPU or on cores of its own.

As sentence-transformers' multi-process pool does it, but on the pool of Python's standard library,
which gives results while others are still being made. Each process watches its parent and ends with
it: one that waits for work would not notice that the parent was killed, and keep its GPU.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue

import numpy as np

from jobsearch.errors import ModelError
from jobsearch.models.encoder import Encoder, TitleEncoder, Vectors, map_ahead
from jobsearch.types import EncoderInfo


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
