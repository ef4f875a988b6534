"""A benchmark across languages made of ESCO itself.

Scope: the preferred label of an occupation in one language, against all labels of all occupations
in another; relevant are the labels of the same occupation.
Structure: queries are occupations drawn with a fixed seed, and their ids are the concepts' URIs;
documents are labels, with the id of the point that ``jobsearch ingest esco`` makes of the title.
Preferred labels of two gendered titles joined by a slash are asked as they are, and labels are not
split: the benchmark must not change with our rules.
Source: European Commission, https://esco.ec.europa.eu, reuse with attribution.

Who trains on ESCO has seen these occupations: figures then compare training runs, not models.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from eval.benchmarks.base import Benchmark, Card, Corpus
from ingest.sources.base import Row
from ingest.sources.esco import EscoSource
from jobsearch.errors import BenchmarkError
from jobsearch.languages import check_language
from jobsearch.text import normalize_title
from jobsearch.types import TitleRecord

NAME = "esco-probe"
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
    query_language: str,
    corpus_language: str,
    *,
    size: int = SIZE,
    seed: int = SEED,
) -> Benchmark:
    """Make the benchmark from an ESCO export.

    Args:
        path: folder or zip file of the export.
        query_language: of the preferred labels that are asked.
        corpus_language: of the labels that are searched.
        size: number of queries; all occupations if there are fewer.
        seed: of the draw, which depends on nothing else but the occupations' URIs.

    Raises:
        BenchmarkError: no occupation has labels in both languages.
        InvalidInput: a language is unknown.
        SourceError: the export cannot be read or lacks a language.
    """
    asked, searched = check_language(query_language), check_language(corpus_language)
    export = EscoSource(path, languages=(asked, searched), gendered_forms=False)
    titles = {
        record.concept_id or "": record.title
        for row in export.rows(asked)
        for record in row.records
        if record.kind == "preferred"
    }
    split = export.version
    documents = tuple(_documents(export.rows(searched), split))
    qrels: dict[str, dict[str, int]] = {}
    for _, record in documents:
        qrels.setdefault(record.concept_id or "", {})[record.doc_id or ""] = 1
    concepts = sorted(titles.keys() & qrels.keys())
    if not concepts:
        raise BenchmarkError(
            f"{path}: no occupation has labels in both {asked} and {searched}: give one export"
        )
    drawn = sorted(random.Random(seed).sample(concepts, min(size, len(concepts))))  # noqa: S311
    corpus = Corpus(NAME, split, export.version, (searched,), str(path), documents)
    drawing = "" if (size, seed) == (SIZE, SEED) else f" {size} queries seed {seed}"
    return Benchmark(
        name=NAME,
        split=f"{split}{drawing}",
        query_language=asked,
        queries={concept: titles[concept] for concept in drawn},
        corpus=corpus,
        documents=corpus.titles,
        qrels={concept: qrels[concept] for concept in drawn},
        card=_CARD,
    )


def _documents(rows: Iterator[Row], split: str) -> Iterator[tuple[int, TitleRecord]]:
    """The labels, each once a concept, preferred ones first."""
    seen: set[tuple[str | None, str]] = set()
    for row in rows:
        for record in row.records:
            key = (record.concept_id, normalize_title(record.title))
            if key not in seen:
                seen.add(key)
                yield row.line, replace(record, source=NAME, split=split, doc_id=record.point_id)
