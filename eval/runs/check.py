"""What the official scorer, or a careless reader, trips over in a TREC run file.

The scorer of TalentCLEF is ranx over TREC files. It looks at scores and not at ranks, and fails on
a header, on scores that all look like whole numbers and on queries that have no ranking. Its
compiled sort moves ties about, from 16 documents on: they stand neither as in the file nor by rank.
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
from eval.runs.trec import read_score
from jobsearch.errors import BenchmarkError

_PAIR = re.compile(r"(?:^|[_.-])([a-z]{2}-[a-z]{2})(?=[_.-]|$)")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run for a pair of languages has to hold.

    Args:
        pair: e.g. ``en-es``.
        query_ids, doc_ids: of that pair.
        others: other pairs of the data, with their query ids and document ids.
    """

    pair: str
    query_ids: frozenset[str]
    doc_ids: frozenset[str]
    others: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)


def expected_for(pair: str, ids: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> Expected:
    """What a run for ``pair`` has to hold, of the ids that ``ids_of_split`` gives.

    Raises:
        BenchmarkError: the data have no such pair.
    """
    if pair not in ids:
        raise BenchmarkError(
            f"there is no data to check a run for {pair} against: its pairs are {', '.join(ids)}"
        )
    return Expected(pair, *ids[pair], {other: ids[other] for other in ids if other != pair})


def pair_of_name(path: Path) -> str | None:
    """The pair that a file name tells, as in ``run_en-es_TEAM.trec``."""
    found = _PAIR.search(path.stem)
    return found[1] if found else None


def pairs_with(queries: Set[str], documents: Set[str], expected: Expected) -> list[str]:
    """The other pairs whose ids a run has; none if it may have those of the expected pair.

    Ids may be numbers from 1 on in every language, and then those of a small set stand in a large
    one too: a run that has all the ids of another pair, and not all of its own, is one for that.
    """
    ids = (queries, documents)
    if ids == (expected.query_ids, expected.doc_ids):
        return []
    if exact := [pair for pair, others in expected.others.items() if ids == others]:
        return exact
    if queries <= expected.query_ids and documents <= expected.doc_ids:
        return []
    return [
        pair
        for pair, (query_ids, doc_ids) in expected.others.items()
        if queries <= query_ids and documents <= doc_ids
    ]


Severity = Literal["error", "warning"]

#: Findings of one kind that are listed; the others are counted.
LISTED = 1_000
_LONGEST_LINE, _LONGEST_FIELD = 64 * 1024, 200

_FORM = "q_id Q0 doc_id rank score tag"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a run.

    Args:
        kind: what it is, the same for all findings of a kind.
        severity: an ``error`` makes the scorer fail or its figure wrong; a ``warning`` may.
        where: line of the file, or the query.
        what: is wrong there.
        fix: what to do.
        count: how many of the kind this stands for.
    """

    kind: str
    severity: Severity
    where: str
    what: str
    fix: str
    count: int = 1


def check_run(
    path: Path, expected: Expected | None = None, depth: int | None = None
) -> list[Finding]:
    """Look for everything that is wrong with a run.

    Args:
        path: the file.
        expected: the ids to compare with; without it only the file itself is looked at.
        depth: length that every ranking should have; that of the corpus if None and ``expected``.

    Raises:
        BenchmarkError: the file cannot be read.
    """
    run = _Run()
    try:
        with path.open("rb") as file:
            # A line without end is cut, and found to have the wrong columns.
            for number, raw in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1):
                run.read(number, raw)
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror or error}): give a TREC run file"
        ) from error
    if no_run := run.no_run():
        return [no_run]
    depth = depth or (len(expected.doc_ids) if expected else None)
    found = chain(
        run.of_lines,
        run.of_the_whole(depth),
        _against(run, expected, pair_of_name(path)) if expected else (),
    )
    return list(_listed(found, run.more))


def _listed(findings: Iterable[Finding], more: Counter[str]) -> Iterator[Finding]:
    """At most ``LISTED`` of each kind, and how many there are beyond.

    Args:
        findings: those that are there.
        more: kind -> number of those that were counted only.
    """
    counts: Counter[str] = Counter()
    last: dict[str, Finding] = {}
    for finding in findings:
        counts[finding.kind] += 1
        last[finding.kind] = finding
        if counts[finding.kind] <= LISTED:
            yield finding
    for kind, finding in last.items():
        if (hidden := counts[kind] + more[kind] - LISTED) > 0:
            what = f"{hidden:,} more of these"
            yield replace(finding, where="file", what=what, count=hidden)


class _Run:
    """What is read of a run, line by line."""

    def __init__(self) -> None:
        self.of_lines: list[Finding] = []
        #: Kind -> findings of lines that were counted and not kept.
        self.more: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self.rankings: dict[str, dict[str, int]] = {}
        #: Query -> scores, in the order of its ranking here.
        self._scores: dict[str, array[float]] = {}
        #: Query -> rank (None if it is no number) and score of its last line.
        self._last: dict[str, tuple[float | None, float]] = {}
        self._shared: dict[str, str] = {}
        self._tags: dict[str, int] = {}
        self._columns: dict[int, int] = {}
        self._whole_scores = True
        self._carriage_returns = 0

    def _find(self, kind: str, severity: Severity, number: int, what: str, fix: str) -> None:
        if self._kept[kind] == LISTED:
            self.more[kind] += 1
            return
        self._kept[kind] += 1
        self.of_lines.append(Finding(kind, severity, f"line {number}", what, fix))

    def read(self, number: int, raw: bytes) -> None:
        """Take one line."""
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            self._find("encoding", "error", number, "not UTF-8", "save the file as UTF-8")
            return
        self._carriage_returns += line.endswith("\r\n")
        if number == 1 and line.startswith("\ufeff"):
            self._find("mark", "error", 1, "a byte-order mark", "save the file without one")
            line = line.removeprefix("\ufeff")
        fields = [field[:_LONGEST_FIELD] for field in line.split()]
        if not fields:
            self._find("blank", "error", number, "blank", "delete the line: the scorer fails on it")
            return
        self._columns[len(fields)] = self._columns.get(len(fields), 0) + 1
        if len(fields) != RUN_COLUMNS:
            what = f"{len(fields)} columns"
            self._find("columns", "error", number, what, f"write '{_FORM}', six columns")
            return
        query, _, document, rank, score, tag = fields
        place, value = read_score(rank), read_score(score)
        if value is None and number == 1 and place is None:
            self._find("header", "error", 1, "a header", "delete the line: a run has none")
            return
        if value is None:
            fix = "write a finite number, with a point for the decimals"
            self._find("score", "error", number, f"score {score!r}", fix)
            return
        self._tags.setdefault(tag, number)
        self._whole_scores &= score.lstrip("+-").isdecimal()
        self._add(number, query, document, place, value)

    def _add(
        self, number: int, query: str, document: str, rank: float | None, score: float
    ) -> None:
        """Take a document of a ranking."""
        ranking = self.rankings.setdefault(query, {})
        if document in ranking:
            what = f"document {document!r} again for query {query!r} (line {ranking[document]})"
            self._find("duplicate", "error", number, what, "keep the better of the two")
            return
        # One string for a document, however many queries rank it.
        ranking[self._shared.setdefault(document, document)] = number
        self._scores.setdefault(query, array("d")).append(score)
        self._compare(number, query, rank, score)

    def _compare(self, number: int, query: str, rank: float | None, score: float) -> None:
        """Compare a line with the one before it of the same query."""
        last_rank, last = self._last.get(query, (None, math.inf))
        self._last[query] = rank, score
        if score == last:
            return
        disagrees = (
            rank is not None
            and last_rank is not None
            and rank != last_rank
            and (rank < last_rank) == (score < last)
        )
        if disagrees:
            what = (
                f"rank {rank:g} has score {score}, rank {last_rank:g} has {last}: "
                "the scorer ranks the higher score first"
            )
            fix = "write scores that fall where ranks rise, such as 1 - distance"
            self._find("rank", "error", number, what, fix)
        elif score > last:
            what = f"score {score} is higher than that before it: the scorer sorts by score"
            self._find("order", "warning", number, what, "sort each query by falling score")

    def no_run(self) -> Finding | None:
        """What makes the file no run at all."""
        lines = sum(self._columns.values())
        if not lines and not any(finding.kind == "encoding" for finding in self.of_lines):
            what, fix = "empty", f"write lines of '{_FORM}'"
        elif self._columns.get(QRELS_COLUMNS, 0) > lines / 2:
            what = "its lines have four columns: these are judgements (qrels) and no run"
            fix = "give the run"
        else:
            return None
        return Finding("no run", "error", "file", what, fix)

    def of_the_whole(self, depth: int | None) -> Iterator[Finding]:
        """What shows once every line is read."""
        if self.rankings and self._whole_scores:
            what = "all scores look like whole numbers, on which the scorer fails"
            yield Finding("whole scores", "error", "file", what, "write them with decimals: 3.0")
        if len(self._tags) > 1:
            what = f"{len(self._tags)} tags: {', '.join(list(self._tags)[:5])}"
            yield Finding("tags", "warning", "file", what, "a run has one tag, its name")
        if self._carriage_returns:
            what = f"{self._carriage_returns} lines end with a carriage return"
            yield Finding("line ends", "warning", "file", what, "save the file with Unix line ends")
        yield from self._ties()
        for query, ranking in self.rankings.items():
            if depth and len(ranking) < depth:
                what = (
                    f"{len(ranking)} of {depth} documents: what is not ranked counts as not found"
                )
                fix = "rank the whole corpus"
                yield Finding("short", "warning", f"query {query}", what, fix)

    def _ties(self) -> Iterator[Finding]:
        """Queries with several documents of one score."""
        for query, scores in self._scores.items():
            if not (tied := len(scores) - len(set(scores))):
                continue
            line_of: dict[float, int] = {}
            lines = zip(scores, self.rankings[query].values(), strict=True)
            first = next(line for score, line in lines if line_of.setdefault(score, line) != line)
            what = (
                f"{tied} documents have the score of another (first on line {first}): "
                "the scorer orders them as it happens"
            )
            fix = "give every document a score of its own, as `jobsearch eval package` does"
            yield Finding("tie", "error", f"query {query}", what, fix)


def _against(run: _Run, expected: Expected, named: str | None) -> Iterator[Finding]:
    """Ids that are not those of the pair."""
    if named and named != expected.pair:
        what = f"the file name says {named}, it is checked as {expected.pair}"
        yield Finding("pair", "error", "file", what, "rename the file, or give the right --pairs")
    queries = run.rankings.keys()
    documents = {document for ranking in run.rankings.values() for document in ranking}
    strangers = queries - expected.query_ids, documents - expected.doc_ids
    if belongs_to := pairs_with(queries, documents, expected):
        what = f"its ids are not those of {expected.pair}, but those of {', '.join(belongs_to)}"
        yield Finding("pair", "error", "file", what, "search the corpus of the right language")
    for query in sorted(strangers[0]):
        first = min(run.rankings[query].values())
        what = f"query {query!r} is none of {expected.pair}"
        yield Finding("foreign query", "error", f"line {first}", what, "leave it out")
    for query, ranking in run.rankings.items():
        for document in sorted(ranking.keys() & strangers[1], key=ranking.__getitem__):
            what = f"document {document!r} (query {query}) is not in the corpus of {expected.pair}"
            where = f"line {ranking[document]}"
            yield Finding("foreign document", "error", where, what, "leave it out")
    for query in sorted(expected.query_ids - queries):
        what = "has no ranking, on which the scorer fails"
        yield Finding("missing query", "error", f"query {query}", what, "rank it as well")
