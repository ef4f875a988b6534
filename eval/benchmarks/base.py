"""Benchmarks: queries, a corpus and judgements, and readers that check their files."""

import hashlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
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
#: Number of columns in a line of BEIR's judgements, which have a header.
_BEIR_COLUMNS = 3
_HIGHEST_RELEVANCE = 1_000
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
# Names of columns in the first line of a file: of an id, alone or beside the name of a title.
_ID_NAME = re.compile(r"(?:\w*[_-])?id|qid|docid|(?:query|corpus|document)id", re.IGNORECASE)
_OTHER_ID_NAME = re.compile("query|topic|doc|docno|document|number|no|nr|code", re.IGNORECASE)
_TITLE_NAME = re.compile("(?:job[ _-]?)?title|text|name|label|query|document", re.IGNORECASE)


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
    """Read ids and titles, tab-separated and without quoting, without a header and blank lines.

    The first line is a header if its id is ``id``, ``qid``, ``docid``, ``queryid`` or ends in
    ``_id`` or ``-id``, or if it has other names of an id and a title, such as ``query``, ``text``.

    Args:
        lines: lines of the file.
        file: name of the file, for messages.

    Raises:
        BenchmarkError: with file and line, for a line in another format, an empty title, or an id
            that an earlier line has.
    """
    first = True
    for line in read_id_title_lines(lines):
        is_header, first = first and _is_title_header(line), False
        if is_header:
            continue
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


def _is_title_header(line: IdTitleLine) -> bool:
    """Whether a line names the columns, as ``q_id<tab>jobtitle`` does."""
    return bool(
        _ID_NAME.fullmatch(line.id)
        or (_OTHER_ID_NAME.fullmatch(line.id) and _TITLE_NAME.fullmatch(line.title.strip()))
    )


def _is_qrels_header(fields: Sequence[str]) -> bool:
    """Whether a line of judgements names the columns, as BEIR's ``query-id corpus-id score``."""
    return bool(
        len(fields) in (_BEIR_COLUMNS, QRELS_COLUMNS)
        and (_ID_NAME.fullmatch(fields[0]) or _OTHER_ID_NAME.fullmatch(fields[0]))
        and not any(character.isdigit() for character in fields[-1])
    )


def _relevance(text: str) -> int:
    """The relevance in a line of judgements; 0 if it is negative.

    Raises:
        ValueError: it is no whole number, or too high.
    """
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(
            f"not 'q_id 0 doc_id relevance': write the relevance {text[:40]!r} as a whole number"
        )
    # trec_eval needs memory and time for each grade up to the highest.
    if len(text.lstrip("+0")) > len(str(_HIGHEST_RELEVANCE)) and text[0] != "-":
        relevance = _HIGHEST_RELEVANCE + 1
    else:
        relevance = int(text)
    if relevance > _HIGHEST_RELEVANCE:
        raise ValueError(f"{text[:40]} is not a relevance of 0 to {_HIGHEST_RELEVANCE:,}")
    return max(relevance, 0)


def _judgement(line: str, columns: int) -> tuple[str, str, int]:
    """Query id, document id and relevance in a line of judgements.

    Args:
        line: the line.
        columns: number of columns that it should have.

    Raises:
        ValueError: the line is in another format, or not in UTF-8.
    """
    fields = line.split()
    if is_undecoded(line):
        # trec_eval crashes on such an id.
        raise ValueError(NOT_UTF8)
    if len(fields) != columns:
        problem = "not 'q_id 0 doc_id relevance'"
        if columns == _BEIR_COLUMNS:
            problem = "not 'q_id doc_id relevance', the three columns that the header names"
        elif len(fields) == _BEIR_COLUMNS:
            problem += " (three columns need a header, such as 'query-id corpus-id score')"
        elif len(fields) == RUN_COLUMNS:
            problem += " (this looks like a line of a run)"
        raise ValueError(problem)
    return fields[0], fields[-2], _relevance(fields[-1])


def read_qrels(
    lines: Iterable[str],
    file: str,
    query_ids: Container[str] | None = None,
    corpus_ids: Container[str] | None = None,
) -> dict[str, dict[str, int]]:
    """Read judgements in TREC format, ``q_id iteration doc_id relevance``.

    The first line may be a header; below a header of three columns, as in BEIR's files, the lines
    are ``q_id doc_id relevance``. A negative relevance means not relevant and becomes 0. A line may
    repeat an earlier judgement, but not contradict it.

    Args:
        lines: lines of the file.
        file: name of the file, for messages.
        query_ids: known query ids; if None, any id is accepted.
        corpus_ids: known document ids; if None, any id is accepted.

    Returns:
        Query id -> document id -> relevance, at least one judgement.

    Raises:
        BenchmarkError: with file and line, for a line in another format or not in UTF-8, an unknown
            query or document, or a second, different judgement of the same query and document;
            also for a file without judgements.
    """
    qrels: dict[str, dict[str, int]] = {}
    columns = 0
    for number, line in enumerate(lines, start=1):
        if not (fields := line.split()):
            continue
        if not columns:
            columns = QRELS_COLUMNS
            if _is_qrels_header(fields):
                columns = len(fields)
                continue
        try:
            q_id, doc_id, relevance = _judgement(line, columns)
            if query_ids is not None and q_id not in query_ids:
                raise ValueError(f"judges query {q_id!r}, which is not among the queries")
            if corpus_ids is not None and doc_id not in corpus_ids:
                raise ValueError(f"judges document {doc_id!r}, which is not in the corpus")
            earlier = qrels.setdefault(q_id, {}).setdefault(doc_id, relevance)
            if earlier != relevance:
                raise ValueError(
                    f"judges document {doc_id!r} for query {q_id!r} a second time, with relevance "
                    f"{relevance} after {earlier}"
                )
        except ValueError as problem:
            raise BenchmarkError(f"{file}, line {number}: {problem}. Correct the file") from None
    if not qrels:
        raise BenchmarkError(f"{file} has no judgements: is the download complete?")
    return qrels
