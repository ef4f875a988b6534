"""Benchmarks across languages, made from an ESCO export.

Scope: the preferred label of an occupation in one language is searched among all labels of all
occupations in another language; the labels of the same occupation are relevant.
Structure: queries are occupations drawn with a fixed seed, and their ids are the concepts' URIs;
documents are labels, and their ids are the ids of the points that ``jobsearch ingest esco`` stores
for the titles. Labels of two gendered titles joined by a slash are used as they are and never
split, so that the benchmark does not change with the rules for splitting.
Source: European Commission, https://esco.ec.europa.eu, reuse with attribution.

A model trained on ESCO has seen these occupations: its figures compare trainings, not models.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from eval.benchmarks.base import Benchmark, Card, Corpus
from ingest.sources.base import Row
from ingest.sources.esco import EscoSource
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.languages import check_language
from jobsearch.text import normalize_title
from jobsearch.types import TitleRecord

NAME = "esco-probe"
PAIRS = ("en-es", "en-de")
SIZE = 500
SEED = 0

_CARD = Card(
    scope="a preferred label of ESCO in one language against all labels in another",
    structure="queries are occupations drawn by seed; relevant are all labels of the occupation",
    source="generated from an ESCO export, https://esco.ec.europa.eu",
    licence="ESCO: reuse with attribution",
)


def load_esco_labels(
    path: str | Path,
    *,
    pairs: Sequence[str] = PAIRS,
    size: int = SIZE,
    seed: int = SEED,
) -> list[Benchmark]:
    """Make benchmarks from an ESCO export, one per pair of languages.

    Args:
        path: folder or zip file of the export.
        pairs: language of the queries and language of the corpus, e.g. ``["en-es"]``.
        size: number of queries per pair; all occupations if there are fewer.
        seed: seed of the draw, which otherwise depends only on the URIs of the occupations.

    Returns:
        The benchmarks in the order of ``pairs``.

    Raises:
        BenchmarkError: no occupation has labels in both languages of a pair.
        InvalidInput: a pair is not two languages, or a language is unknown.
        SourceError: the export cannot be read or lacks a language.
    """
    return [_load(Path(path), *_languages(pair), size, seed) for pair in dict.fromkeys(pairs)]


def _languages(pair: str) -> tuple[str, str]:
    query_language, dash, corpus_language = pair.partition("-")
    if not dash:
        raise InvalidInput(f"{pair!r} in `pairs` is not two languages: write it like en-es")
    return check_language(query_language), check_language(corpus_language)


def _load(path: Path, query_language: str, corpus_language: str, size: int, seed: int) -> Benchmark:
    languages = (query_language, corpus_language)
    export = EscoSource(path, languages=languages, gendered_forms=False)
    preferred = {
        record.concept_id or "": record.title
        for row in export.rows(query_language)
        for record in row.records
        if record.kind == "preferred"
    }
    split = export.version
    documents = tuple(_documents(export.rows(corpus_language), split))
    qrels: dict[str, dict[str, int]] = {}
    for _, record in documents:
        qrels.setdefault(record.concept_id or "", {})[record.doc_id or ""] = 1
    concepts = sorted(preferred.keys() & qrels.keys())
    if not concepts:
        raise BenchmarkError(
            f"{path}: no occupation has labels in both {query_language} and {corpus_language}: "
            "give a folder with a single export"
        )
    drawn = sorted(random.Random(seed).sample(concepts, min(size, len(concepts))))  # noqa: S311
    corpus = Corpus(NAME, split, export.version, (corpus_language,), str(path), documents)
    draw = "" if (size, seed) == (SIZE, SEED) else f" {size} queries seed {seed}"
    return Benchmark(
        name=NAME,
        split=f"{split}{draw}",
        query_language=query_language,
        queries={concept: preferred[concept] for concept in drawn},
        corpus=corpus,
        documents=corpus.titles,
        qrels={concept: qrels[concept] for concept in drawn},
        card=_CARD,
    )


def _documents(rows: Iterator[Row], split: str) -> Iterator[tuple[int, TitleRecord]]:
    """The labels, each once per concept, preferred labels first."""
    seen: set[tuple[str | None, str]] = set()
    for row in rows:
        for record in row.records:
            key = (record.concept_id, normalize_title(record.title))
            if key not in seen:
                seen.add(key)
                yield row.line, replace(record, source=NAME, split=split, doc_id=record.point_id)
