"""Benchmarks from any three TREC files: queries, documents and judgements.

Structure: queries and documents are tab-separated ids and titles without quoting, without a header
as in MELO's files, or with one as in TalentCLEF's; judgements are TREC qrels, or BEIR's.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from eval.benchmarks.base import (
    Benchmark,
    Card,
    Corpus,
    read_qrels,
    read_title_lines,
    require_titles,
)
from eval.benchmarks.esco import NAME as ESCO_NAME
from eval.benchmarks.melo import NAME as MELO_NAME
from eval.benchmarks.talentclef import NAME as TALENTCLEF_NAME
from eval.benchmarks.talentclef import SAMPLE_NAME
from ingest.sources.files import IdTitleLine, text_lines
from jobsearch.errors import InvalidInput
from jobsearch.languages import check_language
from jobsearch.types import TitleRecord

NAME = "trec"

# Tables show published figures beside a benchmark of such a name.
_RESERVED_NAMES = (TALENTCLEF_NAME, SAMPLE_NAME, MELO_NAME, ESCO_NAME)
_VALID_NAME = re.compile("[a-z0-9][a-z0-9-]{0,59}")


def load_trec(
    queries: str | Path,
    corpus: str | Path,
    qrels: str | Path,
    *,
    query_language: str,
    corpus_language: str,
    name: str = NAME,
) -> list[Benchmark]:
    """Load a benchmark from its three files.

    Args:
        queries: file of query ids and titles.
        corpus: file of document ids and titles.
        qrels: file of judgements; its name without the suffix becomes the split.
        query_language: ISO 639-1 code.
        corpus_language: ISO 639-1 code.
        name: name of the benchmark. The corpus is stored under this name and replaces an earlier
            corpus of the same name.

    Returns:
        One benchmark.

    Raises:
        BenchmarkError: a file is empty or the files do not fit together, with file and line.
        InvalidInput: a language is unknown, or the name is not valid or belongs to another
            benchmark.
        SourceError: a file cannot be read.
    """
    if not _VALID_NAME.fullmatch(name) or name in _RESERVED_NAMES:
        raise InvalidInput(
            f"{name!r} cannot name a benchmark: give `name` up to 60 characters of a-z, 0-9 and "
            f"hyphens, and none of {', '.join(_RESERVED_NAMES)}"
        )
    query_language, corpus_language = map(check_language, (query_language, corpus_language))
    titles = {line.id: line.title for line in _title_lines(queries, "queries")}
    records = tuple(
        (line.line, TitleRecord(line.title, corpus_language, name, "corpus", doc_id=line.id))
        for line in _title_lines(corpus, "documents")
    )
    documents = Corpus(name, "", "", (corpus_language,), str(corpus), records)
    benchmark = Benchmark(
        name=name,
        split=Path(qrels).stem,
        query_language=query_language,
        queries=titles,
        corpus=documents,
        documents=documents.titles,
        qrels=read_qrels(_lines(qrels), str(qrels), titles, documents.titles),
        card=Card(
            scope=f"titles in {query_language}, to be found among titles in {corpus_language}",
            structure="queries, documents and TREC qrels",
            source=f"{queries}, {corpus}, {qrels}",
            licence="that of the files",
        ),
    )
    return [benchmark]


def _title_lines(path: str | Path, kind: str) -> list[IdTitleLine]:
    lines = list(read_title_lines(_lines(path), str(path)))
    require_titles({line.id: line.title for line in lines}, str(path), kind)
    return lines


def _lines(path: str | Path) -> Iterator[str]:
    return text_lines(lambda: Path(path).open("rb"), str(path))
