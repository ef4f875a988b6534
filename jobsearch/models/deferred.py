"""Encoders that are loaded when they are first needed.

What an encoder is (its :class:`EncoderInfo`) is found out by loading it, which takes seconds. So it
is kept beside the cached embeddings, under a digest of everything that it is read from: whoever
needs to know only whether titles must be embedded again reads files and compares digests.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import numpy as np

from jobsearch.errors import ModelError
from jobsearch.models.cache import EmbeddingCache
from jobsearch.models.encoder import Encoder, TitleEncoder, Vectors
from jobsearch.models.registry import model_files
from jobsearch.text import NORMALIZATION_VERSION
from jobsearch.types import EncoderInfo, Variant

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
