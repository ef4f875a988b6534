"""Reads and writes TREC run files: ``q_id Q0 doc_id rank score tag``, one line per document.

TalentCLEF's official scorer reads scores and not ranks, puts documents with equal scores in any
order, and fails on a header and on scores that all look like whole numbers; trec_eval orders equal
scores by document id. Written scores therefore strictly decrease within a query, even where cosines
are equal or differ below the last digit: each score is at least one millionth below the previous.
"""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from eval.benchmarks.base import QRELS_COLUMNS, RUN_COLUMNS, Benchmark
from ingest.sources.files import is_undecoded, text_lines
from jobsearch.errors import BenchmarkError
from jobsearch.files import whole_file
from jobsearch.text import slug

#: Numbers of columns of a run: TalentCLEF's official scorer does not need the tag.
WIDTHS = (RUN_COLUMNS - 1, RUN_COLUMNS)
# The scorer's reader (pandas) separates columns by these characters only.
_COLUMN = re.compile(r"[^ \t\r\n]+")

# trec_eval holds scores in single precision, which distinguishes such steps up to a score of 8.
_STEPS_PER_UNIT = 1_000_000


def run_name(benchmark: Benchmark, tag: str) -> str:
    """File name, e.g. ``run_talentclef-2025-validation_en-es_builtin-pretrained.trec``."""
    return f"run_{slug(f'{benchmark.name} {benchmark.split}')}_{benchmark.pair}_{tag}.trec"


def run_tag(model: str, variant: str) -> str:
    """Tag of a run, e.g. ``builtin-pretrained``, or ``bm25`` for a baseline."""
    return f"{slug(model)}-{variant}" if variant else slug(model)


class RunWriter:
    """Writes a run query by query.

    Args:
        file: the open file.
        tag: name of the run, in the last column.
    """

    def __init__(self, file: TextIO, tag: str) -> None:
        self._file, self._tag = file, tag

    def add(self, q_id: str, ranking: Iterable[tuple[str, float]]) -> None:
        """Write the ranking of a query.

        Args:
            q_id: id of the query.
            ranking: documents and scores, best first. If a score is outside [-1, 1], which no
                cosine is, all scores of the query are divided by the largest absolute score.

        Raises:
            BenchmarkError: an id is empty or has white space.
        """
        ranked = list(ranking)
        scale = max(1.0, *(abs(score) for _, score in ranked)) if ranked else 1.0
        steps = math.inf
        lines = []
        for rank, (doc_id, score) in enumerate(ranked, start=1):
            if len(q_id.split()) != 1 or len(doc_id.split()) != 1:
                raise BenchmarkError(
                    f"query {q_id!r}, document {doc_id!r}: a run file cannot hold an id that is "
                    "empty or has white space. Change the id in the benchmark"
                )
            steps = min(round(score / scale * _STEPS_PER_UNIT), steps - 1)
            printed = f"{steps / _STEPS_PER_UNIT:.6f}"
            lines.append(f"{q_id} Q0 {doc_id} {rank} {printed} {self._tag}\n")
        self._file.writelines(lines)


@contextmanager
def run_writer(path: Path, tag: str) -> Iterator[RunWriter]:
    """Open a run file for writing; it is put in place atomically when the block ends.

    Raises:
        BenchmarkError: the file cannot be written.
    """
    with (
        whole_file(path, "choose another folder for `runs`", BenchmarkError) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        yield RunWriter(file, tag)


def write_run(path: Path, run: Iterable[tuple[str, Iterable[tuple[str, float]]]], tag: str) -> None:
    """Write a whole run, with queries in the given order.

    Raises:
        BenchmarkError: the file cannot be written, or an id is empty or has white space.
    """
    with run_writer(path, tag) as writer:
        for q_id, ranking in run:
            writer.add(q_id, ranking)


@dataclass(frozen=True, slots=True)
class RunFile:
    """The contents of a run file.

    Args:
        rankings: query id -> documents and scores by decreasing score, equal scores as in the file.
        repeated: number of lines that rank a document again for the same query. The last of these
            lines counts, as for the official scorer.
    """

    rankings: dict[str, list[tuple[str, float]]]
    repeated: int

    @property
    def tied_queries(self) -> tuple[str, ...]:
        """Queries with several documents of equal score, in the order of the file."""
        return tuple(
            q_id
            for q_id, ranking in self.rankings.items()
            if any(first[1] == second[1] for first, second in pairwise(ranking))
        )


def read_run(path: Path) -> dict[str, list[tuple[str, float]]]:
    """The rankings in a run file; see :func:`read_run_file`."""
    return read_run_file(path).rankings


def read_run_file(path: Path) -> RunFile:
    """Read a run file as TalentCLEF's official scorer does.

    The tag may be missing, blank lines and a byte-order mark are skipped.

    Raises:
        BenchmarkError: with file and line, for a line in another format; also for an empty file.
        SourceError: the file cannot be read.
    """
    run: dict[str, dict[str, float]] = {}
    repeated = 0
    for number, line in enumerate(text_lines(lambda: path.open("rb"), str(path)), start=1):
        fields = [] if is_undecoded(line) else run_columns(line)
        if not fields and not line.strip():
            continue
        score = read_score(fields[4]) if len(fields) in WIDTHS else None
        if score is None:
            problem = "not 'q_id Q0 doc_id rank score tag' with a score that is a number"
            if len(fields) == QRELS_COLUMNS:
                problem += " (this looks like a line of judgements)"
            raise BenchmarkError(
                f"{path}, line {number}: {problem}: {line[:60]!r}. Correct the file"
            )
        ranking = run.setdefault(fields[0], {})
        repeated += fields[2] in ranking
        ranking[fields[2]] = score
    if not run:
        raise BenchmarkError(f"{path} is empty: give a TREC run file")
    return RunFile({q_id: _sorted(ranking.items()) for q_id, ranking in run.items()}, repeated)


def run_columns(line: str) -> list[str]:
    """The columns of a line, which spaces and tabs separate, as the official scorer reads it."""
    return _COLUMN.findall(line)


def read_score(text: str) -> float | None:
    """Parse a score; None if the text is not a finite number in ASCII."""
    try:
        score = float(text)
    except ValueError:
        return None
    # Python parses 1_000 and digits of other scripts; other readers of runs do not.
    return score if math.isfinite(score) and text.isascii() and "_" not in text else None


def _sorted(documents: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(documents, key=lambda document: -document[1])
