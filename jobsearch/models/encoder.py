"""Titles in, unit vectors out."""

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

BATCH_SIZE = 64
#: Texts that one core encodes at a time, where the network allows that.
CHUNK_SIZE = 256
# Chunks a worker that may wait for whoever takes them: nobody idles while one is being stored.
_CHUNKS_AHEAD = 4
# "CUDA out of memory. Tried to …", "DefaultCPUAllocator: can't allocate memory: you tried to …",
# on Windows "… not enough memory: you tried to …"; not "an illegal memory access".
_OUT_OF_MEMORY = re.compile("out of memory|(allocate|enough) memory", re.IGNORECASE)
_T = TypeVar("_T")
_R = TypeVar("_R")


class QueryEncoder(Protocol):
    """An encoder of titles that are searched for."""

    @property
    def info(self) -> EncoderInfo:
        """All settings that decide the vectors."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are searched for: (n, dim) float32, rows of unit length, in order."""
        ...


class DocumentEncoder(Protocol):
    """An encoder of titles that are stored."""

    @property
    def info(self) -> EncoderInfo:
        """All settings that decide the vectors."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        ...

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        """Embed batch after batch, like :meth:`encode_documents`, a few batches in advance.

        Titles must be normalised (:func:`jobsearch.text.normalize_title`): an ingest has done so,
        and doing it again for millions of titles takes time. Works best with batches of
        ``CHUNK_SIZE`` titles of similar length. Close the generator if you do not exhaust it.
        """
        ...


class TitleEncoder(QueryEncoder, DocumentEncoder, Protocol):
    """An encoder of both, as an evaluation needs it."""


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
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        return self._encode_all(self.network.encode_document, texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are searched for: (n, dim) float32, rows of unit length, in order."""
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
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        starts = range(0, len(order), CHUNK_SIZE)
        chunks = [order[start : start + CHUNK_SIZE] for start in starts]
        vectors = np.empty((len(texts), self.info.dim), dtype=np.float32)
        encoded = _map_on_cores(
            lambda chunk: self._encode(method, [texts[place] for place in chunk]), chunks
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
    """What becomes of the items, in order, submitted a little ahead of whoever takes it."""
    ahead: deque[Future[_R]] = deque()
    for item in items:
        ahead.append(submit(item))
        if len(ahead) > workers * _CHUNKS_AHEAD:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _map_on_cores(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """``map`` on as many threads as torch uses cores, each thread on one core; results in order.

    The matrices of a batch of titles are too small to be shared by cores: this takes a sixth less
    processor time, and does not stall when another thread needs a core.
    """
    with _single_core_threads.pool() as (pool, threads):
        yield from map_ahead(lambda item: pool.submit(function, item), items, workers=threads)


class _SingleCoreThreads:
    """Pools of threads in which torch uses one core a thread.

    ``torch.set_num_threads`` also sets the default of threads that start later, so the first pool
    notes the number of cores and every pool restores it: several pools may run at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools = self._cores = 0

    @contextmanager
    def pool(self) -> Iterator[tuple[ThreadPoolExecutor, int]]:
        """A pool and its number of threads."""
        import torch

        with self._lock:
            if not self._pools:
                # Asked in a new thread: this one may have started while a pool ran.
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
    """The GPU that torch would use, or how many cores it uses without one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"no GPU, {torch.get_num_threads()} cores"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, that of a GPU or any."""
    told = isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(told)


@contextmanager
def memory_errors(model: str) -> Iterator[None]:
    """Make torch's errors of memory that ran out ours.

    Raises:
        ModelError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"there is not enough memory for the model {model} ({device_name()}): end other "
            "programs that use it, ingest with fewer --workers, or take a smaller --model"
        ) from error
