"""A fake encoder that counts, and small benchmarks."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from eval.benchmarks.base import Benchmark, Card, Corpus
from jobsearch.types import EncoderInfo, TitleRecord, Variant
from jobsearch.vectors import Vectors

DIM = 64


class FakeEncoder:
    """Titles that share letters are near; counts what it encodes."""

    def __init__(self, variant: Variant = "pretrained", weights: str = "00") -> None:
        self.info = EncoderInfo("fake", variant, "fake", "", weights, "11", DIM, "mean")
        self.documents: list[str] = []
        self.queries: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.documents += texts
        return encode(texts)

    def encode_document_batches(self, batches: Iterable[Sequence[str]]) -> Iterator[Vectors]:
        yield from map(self.encode_documents, batches)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.queries += texts
        return encode(texts)


def encode(texts: Sequence[str]) -> Vectors:
    vectors = np.zeros((len(texts), DIM), dtype=np.float32)
    for row, text in enumerate(texts):
        padded = f"  {text.lower()} "
        for start in range(len(padded) - 2):
            digest = hashlib.blake2b(padded[start : start + 3].encode(), digest_size=2).digest()
            vectors[row, digest[0] % DIM] += 1 if digest[1] % 2 else -1
        vectors[row, 0] += 0.5
        vectors[row] /= np.linalg.norm(vectors[row])
    return vectors


def make_benchmark(
    queries: dict[str, str],
    documents: dict[str, str],
    qrels: dict[str, dict[str, int]],
    *,
    query_language: str = "en",
    corpus_language: str = "en",
    name: str = "test",
    split: str = "validation",
) -> Benchmark:
    corpus = Corpus(
        name,
        split,
        "1",
        (corpus_language,),
        "corpus.tsv",
        tuple(
            (line, TitleRecord(title, corpus_language, name, "corpus", split=split, doc_id=doc_id))
            for line, (doc_id, title) in enumerate(documents.items(), start=2)
        ),
    )
    return Benchmark(
        name=name,
        split=split,
        query_language=query_language,
        queries=queries,
        corpus=corpus,
        documents=corpus.titles,
        qrels=qrels,
        card=Card("test", "test", "test", "test"),
    )


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
