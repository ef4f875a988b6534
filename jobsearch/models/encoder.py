"""Encoders turn titles into unit vectors.

:class:`QueryEncoder` and :class:`DocumentEncoder` are the interfaces that search and ingest need;
:class:`Encoder` implements both with a loaded network. The module also has what other encoders
share: running work ahead of the caller, and turning out-of-memory errors into a ``ModelError``.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from jobsearch.errors import ModelError
from jobsearch.text import normalize_title
from jobsearch.types import EncoderInfo
from jobsearch.vectors import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from jobsearch.models.modules import OwnNetwork

    Network = SentenceTransformer | OwnNetwork

#: Number of texts in one pass through a network.
BATCH_SIZE = 64
#: Number of texts that one thread encodes at a time, if the network can run on several threads.
CHUNK_SIZE = 256
# Finished results that may wait, per worker: the workers stay busy while the caller stores one.
_CHUNKS_AHEAD = 4
# Matches "CUDA out of memory. Tried to …", "DefaultCPUAllocator: can't allocate memory: you tried
# to …" and, on Windows, "… not enough memory: you tried to …"; not "an illegal memory access".
_OUT_OF_MEMORY = re.compile("out of memory|(allocate|enough) memory", re.IGNORECASE)
_T = TypeVar("_T")
_R = TypeVar("_R")


class QueryEncoder(Protocol):
    """Embeds queries."""

    @property
    def info(self) -> EncoderInfo:
        """Identifies the encoder."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        ...


class DocumentEncoder(Protocol):
    """Embeds the titles that are stored."""

    @property
    def info(self) -> EncoderInfo:
        """Identifies the encoder."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed stored titles: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        ...

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batches like :meth:`encode_documents`, a few batches ahead of the caller.

        The titles must be normalised already (:func:`jobsearch.text.normalize_title`): an ingest
        has normalised them, and a second time is slow for millions of titles. Batches of
        ``CHUNK_SIZE`` titles of similar length are fastest. Close the generator if you do not
        exhaust it.
        """
        ...


class TitleEncoder(QueryEncoder, DocumentEncoder, Protocol):
    """Embeds queries and stored titles, as an evaluation needs it."""


class Encoder:
    """Normalises titles and embeds them with a network, its own prompts and its own pooling.

    Threads may share an encoder. Networks of our own modules run in parallel; any other network is
    called by one thread at a time, because the tokenizers of Hugging Face are not thread-safe.

    Methods raise ``ModelError`` if memory runs out.

    Args:
        network: the loaded model.
        info: identifies it.
    """

    def __init__(self, network: "Network", info: EncoderInfo) -> None:
        self.network = network
        self.info = info
        self._thread_safe = getattr(network[0], "thread_safe", False)
        self._turn: AbstractContextManager[Any] = (
            nullcontext() if self._thread_safe else threading.Lock()
        )

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed stored titles: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        return self._encode_all(self.network.encode_document, texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed queries: (n, dim) float32, rows of unit length, in the order of ``texts``."""
        return self._encode_all(self.network.encode_query, texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batches of normalised titles; see :class:`DocumentEncoder`."""

        def encode(texts: Sequence[str]) -> Vectors:
            return self._encode(self.network.encode_document, texts)

        yield from _map_on_cores(encode, batches) if self._runs_on_threads else map(encode, batches)

    def _encode_all(self, method: Any, titles: Sequence[str]) -> Vectors:
        texts = [normalize_title(title) for title in titles]
        if len(texts) <= CHUNK_SIZE or not self._runs_on_threads:
            return self._encode(method, texts)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        starts = range(0, len(order), CHUNK_SIZE)
        chunks = [order[start : start + CHUNK_SIZE] for start in starts]
        vectors = np.empty((len(texts), self.info.dim), dtype=np.float32)
        encoded = _map_on_cores(
            lambda chunk: self._encode(method, [texts[row] for row in chunk]), chunks
        )
        for chunk, rows in zip(chunks, encoded, strict=True):
            vectors[chunk] = rows
        return vectors

    def _encode(self, method: Any, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.info.dim), dtype=np.float32)
        with self._turn, memory_errors(self.info.model):
            vectors = method(
                list(texts),
                batch_size=BATCH_SIZE,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    @property
    def _runs_on_threads(self) -> bool:
        return self._thread_safe and self.network.device.type == "cpu"


def map_ahead(
    submit: Callable[[_T], Future[_R]], items: Iterable[_T], *, workers: int
) -> Iterator[_R]:
    """``map`` through a pool: results in order, items submitted a few per worker in advance."""
    pending: deque[Future[_R]] = deque()
    for item in items:
        pending.append(submit(item))
        if len(pending) > workers * _CHUNKS_AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _map_on_cores(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """``map`` on as many threads as torch uses cores, each thread on one core; results in order.

    The matrices of a batch of titles are too small to divide among cores: one core per thread takes
    a sixth less processor time, and does not stall when another thread needs a core.
    """
    with _single_core_threads.pool() as (pool, threads):
        yield from map_ahead(lambda item: pool.submit(function, item), items, workers=threads)


class _SingleCoreThreads:
    """Makes thread pools in which torch uses one core per thread.

    Several pools may run at once. ``torch.set_num_threads`` also sets the default of threads that
    start later, so the first pool notes the number of cores, and each pool restores it at its end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools = self._cores = 0

    @contextmanager
    def pool(self) -> Iterator[tuple[ThreadPoolExecutor, int]]:
        """Open a pool; yields it with its number of threads."""
        import torch

        with self._lock:
            if not self._pools:
                # A new thread has torch's default; this one may have started while a pool ran.
                with ThreadPoolExecutor(1) as new:
                    self._cores = new.submit(torch.get_num_threads).result()
            self._pools += 1
            cores = self._cores
        pool = ThreadPoolExecutor(cores, "encode", torch.set_num_threads, (1,))
        try:
            yield pool, cores
        finally:
            pool.shutdown(cancel_futures=True)
            with self._lock:
                self._pools -= 1
                torch.set_num_threads(cores)


_single_core_threads = _SingleCoreThreads()


def device_name() -> str:
    """Name of the GPU that torch uses, or the number of CPU cores if there is no GPU."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"no GPU, {torch.get_num_threads()} cores"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means too little memory, on the GPU or in the machine."""
    if isinstance(error, RuntimeError):
        return bool(_OUT_OF_MEMORY.search(str(error)))
    return isinstance(error, MemoryError)


@contextmanager
def memory_errors(model: str) -> Iterator[None]:
    """Turn out-of-memory errors of Python and torch into a ``ModelError``.

    Raises:
        ModelError: there is not enough memory for ``model``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"there is not enough memory for the model {model} ({device_name()}): stop other "
            "programs that use memory, use fewer `workers`, or choose a smaller `model`"
        ) from error
