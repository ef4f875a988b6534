"""Checks a TREC run file for everything that fails or misleads the official scorer or a reader.

TalentCLEF's scorer reads a run with pandas and scores it with ranx. It reads scores and ignores
ranks. It fails on a header, on scores that all look like whole numbers, and on queries without a
ranking. From 16 documents on, its compiled sort reorders documents with equal scores, neither as in
the file nor by rank. It reads ids that are all numbers as numbers, and words such as ``NA`` as
missing values. It does not need the tag and skips blank lines and a byte-order mark; other readers
of runs fail on these.

:class:`Expected` holds the ids that a run should have; :func:`check_run` returns findings.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from eval.benchmarks.base import QRELS_COLUMNS, RUN_COLUMNS
from eval.runs.trec import WIDTHS, read_score, run_columns
from jobsearch.errors import BenchmarkError

Severity = Literal["error", "warning"]

#: Number of findings of one kind that are listed; further ones are counted.
LISTED = 1_000
_MAX_LINE_BYTES, _MAX_FIELD_CHARS = 64 * 1024, 200
_COLUMNS = "q_id Q0 doc_id rank score tag"
_OTHER_READERS = "the official scorer accepts it, other readers of runs do not"
# Words that pandas reads as a missing value.
_NO_VALUE = frozenset(
    ("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
     "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
)  # fmt: skip
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_PAIR = re.compile(r"(?:^|[_.-])([a-z]{2}-[a-z]{2})(?=[_.-]|$)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a run.

    Args:
        kind: short name of the kind of problem.
        severity: an ``error`` makes the official scorer fail, or score another ranking than that of
            the file; a ``warning`` does not, but may show a mistake or stop other readers.
        where: line of the file, or the query.
        what: the problem.
        fix: how to correct it.
        count: number of findings of this kind that this one stands for.
    """

    kind: str
    severity: Severity
    where: str
    what: str
    fix: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Expected:
    """The ids that a run for a pair of languages should have.

    Args:
        pair: e.g. ``en-es``.
        query_ids, doc_ids: all ids of the pair.
        others: other pairs of the data -> their query ids and document ids.
    """

    pair: str
    query_ids: frozenset[str]
    doc_ids: frozenset[str]
    others: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)


def expected_for(pair: str, ids: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> Expected:
    """Take the ids for a run for ``pair`` from the output of ``ids_of_split``.

    Raises:
        BenchmarkError: the data have no such pair.
    """
    if pair not in ids:
        raise BenchmarkError(
            f"there is no data to check a run for {pair} against: its pairs are {', '.join(ids)}"
        )
    return Expected(pair, *ids[pair], {other: ids[other] for other in ids if other != pair})


def pair_of_name(path: Path) -> str | None:
    """The pair of languages in a file name, e.g. ``en-es`` in ``run_en-es_TEAM.trec``."""
    match = _PAIR.search(path.stem)
    return match[1] if match else None


def check_run(
    path: Path, expected: Expected | None = None, depth: int | None = None
) -> list[Finding]:
    """Find all problems of a run.

    Args:
        path: the run file.
        expected: ids to compare with; if None, ids are not checked.
        depth: length that every ranking should have; if None, the size of the expected corpus.

    Returns:
        Findings about single lines first, then about the whole file, then about ids.

    Raises:
        BenchmarkError: the file cannot be read.
    """
    run = _Run()
    try:
        with path.open("rb") as file:
            # A line beyond the limit is cut, and reported.
            lines = iter(lambda: file.readline(_MAX_LINE_BYTES), b"")
            for number, raw in enumerate(lines, start=1):
                run.read(number, raw)
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror or error}): give a TREC run file"
        ) from error
    if not_a_run := run.not_a_run():
        return [not_a_run]
    depth = depth or (len(expected.doc_ids) if expected else None)
    findings = chain(
        run.line_findings,
        run.file_findings(depth),
        _id_findings(run, expected, pair_of_name(path)) if expected else (),
    )
    return list(_limited(findings, run.unlisted))


def _limited(findings: Iterable[Finding], unlisted: Counter[str]) -> Iterator[Finding]:
    """The first ``LISTED`` findings of each kind, and one that gives the number of the others.

    Args:
        findings: the findings.
        unlisted: kind -> number of findings that were counted and not kept.
    """
    counts: Counter[str] = Counter()
    last: dict[str, Finding] = {}
    for finding in findings:
        counts[finding.kind] += 1
        last[finding.kind] = finding
        if counts[finding.kind] <= LISTED:
            yield finding
    for kind, finding in last.items():
        if (hidden := counts[kind] + unlisted[kind] - LISTED) > 0:
            what = f"{hidden:,} more of these"
            yield replace(finding, where="file", what=what, count=hidden)


class _Run:
    """The contents of a run, collected line by line."""

    def __init__(self) -> None:
        self.line_findings: list[Finding] = []
        #: Kind -> number of findings about lines that were counted and not kept.
        self.unlisted: Counter[str] = Counter()
        self._listed: Counter[str] = Counter()
        #: Query -> document -> place in the file, among the documents of the query.
        self.rankings: dict[str, dict[str, int]] = {}
        #: Query -> numbers of the lines of its documents, and their scores, by that place.
        self.lines: dict[str, array[int]] = {}
        self._scores: dict[str, array[float]] = {}
        #: Query -> rank (None if it is not a number) and score of its last line.
        self._last: dict[str, tuple[float | None, float]] = {}
        self._documents: dict[str, str] = {}
        self._tags: dict[str, int] = {}
        self._column_counts: dict[int, int] = {}
        self._whole_scores = True
        self._carriage_returns = 0

    def _find(self, kind: str, severity: Severity, number: int, what: str, fix: str) -> None:
        if self._listed[kind] == LISTED:
            self.unlisted[kind] += 1
            return
        self._listed[kind] += 1
        self.line_findings.append(Finding(kind, severity, f"line {number}", what, fix))

    def read(self, number: int, raw: bytes) -> None:
        """Read one line."""
        if len(raw) == _MAX_LINE_BYTES:
            what = f"a line of {_MAX_LINE_BYTES:,} bytes or more"
            self._find("columns", "error", number, what, f"write '{_COLUMNS}', six columns")
            return
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            self._find("encoding", "error", number, "not UTF-8", "save the file as UTF-8")
            return
        self._carriage_returns += line.endswith("\r\n")
        if number == 1 and line.startswith("\ufeff"):
            what = f"a byte-order mark: {_OTHER_READERS}"
            self._find("mark", "warning", 1, what, "save the file without one")
            line = line.removeprefix("\ufeff")
        fields = [field[:_MAX_FIELD_CHARS] for field in run_columns(line)]
        if not fields:
            what = f"blank: {_OTHER_READERS}"
            self._find("blank", "warning", number, what, "delete the line")
            return
        # The scorer's reader fills a shorter line up, and fails on a longer one.
        first_width = next((w for w in self._column_counts if w in WIDTHS), len(fields))
        self._column_counts[len(fields)] = self._column_counts.get(len(fields), 0) + 1
        if len(fields) not in WIDTHS or len(fields) > first_width:
            what = f"{len(fields)} columns"
            if len(fields) in WIDTHS:
                what += f": the scorer expects the {first_width} of the first line"
            self._find("columns", "error", number, what, f"write '{_COLUMNS}', six columns")
            return
        query, _, document, rank_text, score_text = fields[:5]
        rank, score = read_score(rank_text), read_score(score_text)
        if score is None and number == 1 and rank is None:
            self._find("header", "error", 1, "a header", "delete the line: a run has no header")
            return
        if score is None:
            fix = "write a finite number with a decimal point"
            self._find("score", "error", number, f"score {score_text!r}", fix)
            return
        for tag in fields[5:]:
            self._tags.setdefault(tag, number)
        self._whole_scores &= score_text.lstrip("+-").isdecimal()
        self._add(number, query, document, rank, score)

    def _add(
        self, number: int, query: str, document: str, rank: float | None, score: float
    ) -> None:
        """Add a document to the ranking of a query."""
        if query not in self.rankings:
            self.rankings[query] = {}
            self.lines[query], self._scores[query] = array("Q"), array("d")
        ranking, lines, scores = self.rankings[query], self.lines[query], self._scores[query]
        if (place := ranking.get(document)) is not None:
            what = f"document {document!r} again for query {query!r} (line {lines[place]})"
            severity: Severity = "warning"
            if score != scores[place]:
                severity, what = "error", f"{what}: the scorer takes the score of the last line"
            self._find("duplicate", severity, number, what, "keep the line with the better rank")
            scores[place] = score
            return
        # All rankings share one string per document, which saves memory.
        ranking[self._documents.setdefault(document, document)] = len(lines)
        lines.append(number)
        scores.append(score)
        self._compare(number, query, rank, score)

    def _compare(self, number: int, query: str, rank: float | None, score: float) -> None:
        """Compare rank and score of a line with the previous line of the same query."""
        last_rank, last_score = self._last.get(query, (None, math.inf))
        self._last[query] = rank, score
        if score == last_score:
            return
        contradicts = (
            rank is not None
            and last_rank is not None
            and rank != last_rank
            and (rank < last_rank) == (score < last_score)
        )
        if contradicts:
            what = (
                f"rank {rank:g} has score {score}, rank {last_rank:g} has {last_score}: "
                "the scorer ranks the higher score first"
            )
            fix = "write scores that decrease as ranks increase, such as 1 - distance"
            self._find("rank", "error", number, what, fix)
        elif score > last_score:
            what = f"score {score} is higher than the score before it: the scorer sorts by score"
            self._find("order", "warning", number, what, "sort each query by decreasing score")

    def not_a_run(self) -> Finding | None:
        """A finding if the file is empty or holds judgements."""
        lines = sum(self._column_counts.values())
        if not lines and not any(finding.kind == "encoding" for finding in self.line_findings):
            what, fix = "empty", f"write lines of '{_COLUMNS}'"
        elif self._column_counts.get(QRELS_COLUMNS, 0) > lines / 2:
            what = "its lines have four columns: these are judgements (qrels), not a run"
            fix = "give the run"
        else:
            return None
        return Finding("no run", "error", "file", what, fix)

    def file_findings(self, depth: int | None) -> Iterator[Finding]:
        """Findings about the whole file, after the last line has been read."""
        if self.rankings and self._whole_scores:
            what = "all scores look like whole numbers: the scorer fails on them"
            yield Finding("whole scores", "error", "file", what, "write decimals, such as 3.0")
        yield from self._changed_ids("query", self.rankings)
        yield from self._changed_ids("document", self._documents)
        if without_tag := self._column_counts.get(RUN_COLUMNS - 1, 0):
            what = f"{without_tag:,} lines have five columns, no tag: {_OTHER_READERS}"
            yield Finding("no tag", "warning", "file", what, f"write '{_COLUMNS}', six columns")
        if len(self._tags) > 1:
            what = f"{len(self._tags)} tags: {', '.join(list(self._tags)[:5])}"
            yield Finding("tags", "warning", "file", what, "write one tag, the name of the run")
        if self._carriage_returns:
            what = f"{self._carriage_returns} lines end with a carriage return"
            yield Finding("line ends", "warning", "file", what, "save the file with Unix line ends")
        yield from self._ties()
        for query, ranking in self.rankings.items():
            if depth and len(ranking) < depth:
                what = f"{len(ranking)} of {depth} documents: the others count as not found"
                yield Finding("short", "warning", f"query {query}", what, "rank the whole corpus")

    def _changed_ids(self, kind: str, ids: Iterable[str]) -> Iterator[Finding]:
        """Ids that the scorer's reader changes, because it guesses the type of a column."""
        ids = list(ids)
        fix = "write ids that begin with a letter, in the queries and the corpus as well"
        if words := [word for word in ids if word in _NO_VALUE]:
            what = f"{kind} id {words[0]!r}: the scorer reads it as a missing value"
            yield Finding("changed id", "error", "file", what, fix)
        if quoted := [word for word in ids if word.startswith('"')]:
            what = f"{kind} id {quoted[0][:40]!r}: the scorer takes a quotation mark off, and more"
            yield Finding("changed id", "error", "file", what, fix)
        numbers = ids if all(map(_WHOLE_NUMBER.fullmatch, ids)) else []
        if changed := [number for number in numbers if str(int(number)) != number]:
            what = f"{kind} id {changed[0]!r}: the scorer reads it as {int(changed[0])}"
            yield Finding("changed id", "error", "file", what, fix)

    def _ties(self) -> Iterator[Finding]:
        """Queries with several documents of equal score."""
        for query, scores in self._scores.items():
            if not (tied := len(scores) - len(set(scores))):
                continue
            line_of: dict[float, int] = {}
            lines = zip(scores, self.lines[query], strict=True)
            first = next(line for score, line in lines if line_of.setdefault(score, line) != line)
            what = (
                f"{tied} documents have the score of another (first on line {first}): "
                "the scorer puts them in any order"
            )
            fix = "give each document a different score, as `jobsearch eval package` does"
            yield Finding("tie", "error", f"query {query}", what, fix)


def _id_findings(run: _Run, expected: Expected, named_pair: str | None) -> Iterator[Finding]:
    """Findings about ids that do not belong to the pair, and about queries without a ranking.

    Args:
        run: the run.
        expected: the ids of the pair.
        named_pair: the pair in the file name, if any.
    """
    if named_pair and named_pair != expected.pair:
        what = f"the file name says {named_pair}, it is checked as {expected.pair}"
        fix = f"rename the file, or check it as {named_pair}"
        yield Finding("pair", "error", "file", what, fix)
    queries = run.rankings.keys()
    documents = {document for ranking in run.rankings.values() for document in ranking}
    if pairs := _pairs_with(queries, documents, expected):
        what = f"its ids are not those of {expected.pair}, but those of {', '.join(pairs)}"
        yield Finding("pair", "error", "file", what, "search the corpus of the right language")
    for query in sorted(queries - expected.query_ids):
        first = min(run.lines[query])
        what = f"query {query!r} is not a query of {expected.pair}"
        yield Finding("foreign query", "error", f"line {first}", what, "leave it out")
    foreign_documents = documents - expected.doc_ids
    for query, ranking in run.rankings.items():
        for document in sorted(ranking.keys() & foreign_documents, key=ranking.__getitem__):
            what = f"document {document!r} (query {query}) is not in the corpus of {expected.pair}"
            where = f"line {run.lines[query][ranking[document]]}"
            yield Finding("foreign document", "error", where, what, "leave it out")
    for query in sorted(expected.query_ids - queries):
        what = "has no ranking: the scorer fails on the query"
        yield Finding("missing query", "error", f"query {query}", what, "rank it as well")


def _pairs_with(queries: Set[str], documents: Set[str], expected: Expected) -> list[str]:
    """Other pairs to which the ids of a run belong; empty if the run may be for the expected pair.

    Every language may number its ids from 1 on, so the ids of a small set are also ids of a larger
    set. A run with all ids of another pair, but not all ids of the expected pair, is a run for that
    other pair.
    """
    ids = (queries, documents)
    if ids == (expected.query_ids, expected.doc_ids):
        return []
    if exact := [pair for pair, other_ids in expected.others.items() if ids == other_ids]:
        return exact
    if queries <= expected.query_ids and documents <= expected.doc_ids:
        return []
    return [
        pair
        for pair, (query_ids, doc_ids) in expected.others.items()
        if queries <= query_ids and documents <= doc_ids
    ]
