"""Benchmarks: queries, a corpus and judgements, and readers that check their files."""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ingest.sources.base import Row
from ingest.sources.files import NOT_UTF8, IdTitleLine, is_undecoded, read_id_title_lines
from jobsearch.errors import BenchmarkError
from jobsearch.text import normalize_title
from jobsearch.types import Filters, TitleRecord

#: Query id -> document id -> relevance. A relevance of 1 or more means relevant.
Qrels = Mapping[str, Mapping[str, int]]

#: Number of columns in a line of TREC judgements, and in a line of a TREC run.
QRELS_COLUMNS, RUN_COLUMNS = 4, 6
_HIGHEST_RELEVANCE = 1_000


@dataclass(frozen=True, slots=True)
class Card:
    """Facts about a benchmark that help to read its figures."""

    scope: str
    structure: str
    source: str
    licence: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents of a benchmark. Implements :class:`ingest.sources.base.Source`.

    Args:
        name, split, version: as in :class:`ingest.sources.base.Source`.
        languages: languages of the documents; each language is stored in a collection of its own.
        file: the file that holds the documents, for messages.
        documents: line in the file, and the title with its document id.
    """

    name: str
    split: str
    version: str
    languages: tuple[str, ...]
    file: str
    documents: tuple[tuple[int, TitleRecord], ...]

    @property
    def origin(self) -> None:
        """A benchmark is known by its name."""
        return

    @property
    def titles(self) -> dict[str, str]:
        """Document id -> title."""
        return {record.doc_id or "": record.title for _, record in self.documents}

    def sha256(self, language: str) -> str:
        """Digest of all stored fields of the documents in the language, hexadecimal."""
        digest = hashlib.sha256(language.encode())
        for _, record in self.documents:
            if record.language == language:
                digest.update(repr(record).encode())
        return digest.hexdigest()

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """All languages are read together."""
        return (self.languages,)

    def rows(self, *languages: str) -> Iterator[Row]:
        """One row per document in the languages."""
        for line, record in self.documents:
            if record.language in languages:
                yield Row(line, (record,), (), self.file)

    @property
    def filters(self) -> Filters:
        """Conditions that select exactly the documents of this corpus in a store."""
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
        split: the part of the benchmark, e.g. ``validation``.
        query_language: ISO 639-1 code of the queries. The corpus states its languages itself.
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
        """Digest of everything that figures depend on: titles, ids, judgements and languages."""
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
        """Number of judgements with a relevance of 1 or more."""
        return sum(value > 0 for judged in self.qrels.values() for value in judged.values())

    @property
    def queries_without_relevant(self) -> tuple[str, ...]:
        """Ids of the queries without any relevant document, in the order of the queries."""
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


def require_titles(titles: Mapping[str, str], file: str, kind: str) -> None:
    """Refuse a file without titles, and titles that are empty after normalisation.

    Args:
        titles: id -> title.
        file: name of the file, for messages.
        kind: kind of the titles, for messages, e.g. ``queries``.

    Raises:
        BenchmarkError: with the file, and the id of the empty title.
    """
    if not titles:
        raise BenchmarkError(f"{file} has no {kind}: is the download complete?")
    for title_id, title in titles.items():
        if not normalize_title(title):
            raise BenchmarkError(f"{file}: {title_id} has an empty title. Correct the file")


def _is_relevance(text: str) -> bool:
    # trec_eval needs memory and time for each grade up to the highest.
    return text.isdecimal() and len(text) < 5 and int(text) <= _HIGHEST_RELEVANCE


def read_qrels(
    lines: Iterable[str],
    file: str,
    query_ids: Container[str] | None = None,
    corpus_ids: Container[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Read judgements in TREC format, ``q_id iteration doc_id relevance``.

    Args:
        lines: lines of the file, without a header.
        file: name of the file, for messages.
        query_ids: known query ids; if None, any id is accepted.
        corpus_ids: known document ids; if None, any id is accepted.

    Returns:
        Query id -> document id -> relevance, at least one judgement.

    Raises:
        BenchmarkError: with file and line, for a line in another format or not in UTF-8, an unknown
            query or document, or a second judgement of the same query and document; also for a
            file without judgements.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        problem = ""
        if is_undecoded(line):
            # trec_eval crashes on such an id.
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
