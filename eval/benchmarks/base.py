"""What a benchmark is: queries, a corpus and judgements, each checked against the others."""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ingest.sources.base import Row
from ingest.sources.files import NOT_UTF8, IdTitleLine, is_undecoded, read_id_title_lines
from jobsearch.errors import BenchmarkError
from jobsearch.text import normalize_title
from jobsearch.types import Filters, TitleRecord

#: Query id -> document id -> relevance; 1 and more is relevant.
Qrels = Mapping[str, Mapping[str, int]]

#: Columns of a line of TREC judgements, and of a line of a TREC run.
QRELS_COLUMNS, RUN_COLUMNS = 4, 6
_HIGHEST_RELEVANCE = 1_000


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader should know of a benchmark before its figures."""

    scope: str
    structure: str
    source: str
    licence: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents of a benchmark, as a source that can be ingested.

    Args:
        name, split, version: as in :class:`ingest.sources.base.Source`.
        languages: of the documents; each language is stored in a collection of its own.
        file: where they were read, for messages.
        documents: line of the file, and the title with its document id.
    """

    name: str
    split: str
    version: str
    languages: tuple[str, ...]
    file: str
    documents: tuple[tuple[int, TitleRecord], ...]

    @property
    def titles(self) -> dict[str, str]:
        """Document id -> title."""
        return {record.doc_id or "": record.title for _, record in self.documents}

    def sha256(self, language: str) -> str:
        """Over everything that is stored of the documents in the language."""
        digest = hashlib.sha256(language.encode())
        for _, record in self.documents:
            if record.language == language:
                digest.update(repr(record).encode())
        return digest.hexdigest()

    def rows(self, language: str) -> Iterator[Row]:
        """One row a document in the language."""
        for line, record in self.documents:
            if record.language == language:
                yield Row(line, (record,), (), self.file)

    @property
    def filters(self) -> Filters:
        """The conditions that its documents pass in the store, and nothing else."""
        splits = (self.split,) if self.split else ()
        return Filters(languages=self.languages, sources=(self.name,), splits=splits)

    def titles_in(self, language: str) -> Iterator[str]:
        """The titles in the language."""
        return (record.title for _, record in self.documents if record.language == language)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Queries, a corpus and judgements.

    Args:
        name: e.g. ``talentclef-2025``.
        split: the part of it, e.g. ``validation``.
        query_language: ISO 639-1 code; those of the corpus are facts of their own.
        queries: query id -> title.
        corpus: the documents.
        documents: document id -> title.
        qrels: the judgements.
        card: scope, structure, source and licence.
    """

    name: str
    split: str
    query_language: str
    queries: Mapping[str, str]
    corpus: Corpus
    documents: Mapping[str, str]
    qrels: Qrels
    card: Card

    @property
    def sha256(self) -> str:
        """Over everything that figures depend on: titles, ids, judgements and languages."""
        corpora = map(self.corpus.sha256, self.corpus.languages)
        facts = [self.name, self.split, self.pair, *corpora]
        everything = json.dumps([facts, dict(self.queries), self.qrels], ensure_ascii=False)
        return hashlib.sha256(everything.encode()).hexdigest()

    @property
    def pair(self) -> str:
        """Languages of the queries and of the corpus, e.g. ``en-es`` or ``en-de+en+es``."""
        return f"{self.query_language}-{'+'.join(self.corpus.languages)}"

    @property
    def relevant(self) -> int:
        """Number of judgements that say relevant."""
        return sum(value > 0 for judged in self.qrels.values() for value in judged.values())

    @property
    def queries_without_relevant(self) -> tuple[str, ...]:
        """Ids of the queries for which no document was judged relevant, in the queries' order."""
        return tuple(
            q_id
            for q_id in self.queries
            if not any(value > 0 for value in self.qrels.get(q_id, {}).values())
        )


def read_title_lines(lines: Iterable[str], file: str) -> Iterator[IdTitleLine]:
    """Read ids and titles, tab-separated and without quoting; blank lines are skipped.

    Args:
        lines: lines of the file; a header is read like any other line.
        file: name of the file, for messages.

    Raises:
        BenchmarkError: with file and line, for a line in another format, an empty title, or an id
            that an earlier line has.
    """
    for line in read_id_title_lines(lines):
        text, problem = line.title, line.problem
        if not problem and not line.title.strip():
            text, problem = f"{line.id}\t{line.title}", "not an id, a tab and a title"
        if problem:
            raise BenchmarkError(
                f"{file}, line {line.line}: {problem}: {text[:60]!r}. Correct the file"
            )
        yield line


def check_titles_are_there(titles: Mapping[str, str], file: str, what: str) -> None:
    """Refuse an empty list of queries or documents, and titles that are empty.

    Raises:
        BenchmarkError: naming the file and the id.
    """
    if not titles:
        raise BenchmarkError(f"{file} has no {what}: is the download complete?")
    for title_id, title in titles.items():
        if not normalize_title(title):
            raise BenchmarkError(f"{file}: {title_id} has an empty title. Correct the file")


def _is_relevance(text: str) -> bool:
    # trec_eval needs memory and time for every grade up to the highest.
    return text.isdecimal() and len(text) < 5 and int(text) <= _HIGHEST_RELEVANCE


def read_qrels(
    lines: Iterable[str],
    file: str,
    query_ids: Container[str] | None = None,
    corpus_ids: Container[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Read judgements in TREC format, ``q_id iteration doc_id relevance``.

    Args:
        lines: of the file; there is no header.
        file: its name, for messages.
        query_ids: the queries that may be judged; any if None.
        corpus_ids: the documents that may be judged; any if None.

    Raises:
        BenchmarkError: with file and line, for a line of another form or not in UTF-8, an id that
            is not among the queries or in the corpus, or a second judgement of the same two; for
            an empty file.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        problem = ""
        if is_undecoded(line):
            # trec_eval dies of such an id.
            problem = NOT_UTF8
        elif len(fields) != QRELS_COLUMNS or not _is_relevance(fields[3]):
            problem = "not 'q_id 0 doc_id relevance' with a relevance of 0 to 1,000"
            if len(fields) == RUN_COLUMNS:
                problem += " (this looks like a line of a run)"
        elif query_ids is not None and fields[0] not in query_ids:
            problem = f"judges query {fields[0]!r}, which is not among the queries"
        elif corpus_ids is not None and fields[2] not in corpus_ids:
            problem = f"judges document {fields[2]!r}, which is not in the corpus"
        elif fields[2] in qrels.get(fields[0], {}):
            problem = f"judges document {fields[2]!r} for query {fields[0]!r} a second time"
        if problem:
            raise BenchmarkError(f"{file}, line {number}: {problem}. Correct the file")
        qrels.setdefault(fields[0], {})[fields[2]] = int(fields[3])
    if not qrels:
        raise BenchmarkError(f"{file} has no judgements: is the download complete?")
    return qrels
