"""An encoder without a model: deterministic, quick, and it remembers what it was given."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Self

import numpy as np

from jobsearch.models.encoder import TitleEncoder
from jobsearch.text import normalize_title
from jobsearch.types import EncoderInfo, Variant
from jobsearch.vectors import Vectors

DIM = 64


class FakeEncoder:
    """Titles that share letters are near each other; implements :class:`TitleEncoder`.

    Args:
        variant: as in the names of collections.
        weights: encoders of different weights do not fit each other's collections; the vectors are
            the same.
        dim: length of the vectors.
        vectors: makes the vectors of titles in place of :func:`letter_vectors`.

    Attributes:
        documents: all titles that were encoded to be stored, in order.
        queries: all titles that were encoded to be searched for, in order.
    """

    def __init__(
        self,
        variant: Variant = "pretrained",
        weights: str = "00",
        dim: int = DIM,
        *,
        vectors: Callable[[Sequence[str]], Vectors] | None = None,
    ) -> None:
        self.info = EncoderInfo("fake", variant, "fake", "", weights, "11", dim, "mean")
        self.documents: list[str] = []
        self.queries: list[str] = []
        self._vectors = vectors or (lambda texts: letter_vectors(texts, dim))

    @classmethod
    def counting(cls, encoder: TitleEncoder) -> Self:
        """An encoder that gives the vectors of another one."""
        made = cls(vectors=encoder.encode_documents)
        made.info = encoder.info
        return made

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.queries += texts
        return self._vectors(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.documents += texts
        return self._vectors(texts)

    def encode_document_batches(
        self, batches: Iterable[Sequence[str]]
    ) -> Generator[Vectors, None, None]:
        # One batch in advance, as the real encoder works.
        ahead: list[Vectors] = []
        for batch in batches:
            assert list(batch) == [normalize_title(text) for text in batch], "not normalised"
            ahead.append(self.encode_documents(batch))
            if len(ahead) > 1:
                yield ahead.pop(0)
        yield from ahead


def letter_vectors(texts: Sequence[str], dim: int = DIM) -> Vectors:
    """Unit vectors of hashed trigrams of letters: (n, dim) float32."""
    vectors = np.zeros((len(texts), dim), dtype=np.float32)
    for row, text in enumerate(texts):
        padded = f"  {text} "
        for start in range(len(padded) - 2):
            trigram = padded[start : start + 3].encode(errors="surrogatepass")
            digest = hashlib.blake2b(trigram, digest_size=2).digest()
            vectors[row, digest[0] % dim] += 1 if digest[1] % 2 else -1
        vectors[row, 0] += 0.5
        vectors[row] /= np.linalg.norm(vectors[row])
    return vectors
