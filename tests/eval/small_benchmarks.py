"""Small benchmarks, and their files."""

from pathlib import Path

from eval.benchmarks.base import Benchmark, Card, Corpus
from jobsearch.types import TitleRecord


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
