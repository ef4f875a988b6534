"""TREC run files: ``q_id Q0 doc_id rank score tag``, one line a document.

The official scorer of TalentCLEF reads scores and not ranks, orders ties as it happens, and fails
on a header and on scores that all look like whole numbers; trec_eval breaks ties by document id.
So scores fall strictly from line to line of a query as they are printed, even where cosines tie or
differ below the last digit: each is at least one millionth below the one before.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from eval.benchmarks.base import QRELS_COLUMNS, RUN_COLUMNS, Benchmark
from ingest.sources.files import is_undecoded, text_lines
from jobsearch.errors import BenchmarkError
from jobsearch.files import whole_file
from jobsearch.text import slug

# Single precision, in which trec_eval holds scores, tells such steps apart up to 8.
_STEPS_PER_UNIT = 1_000_000


def run_name(benchmark: Benchmark, tag: str) -> str:
    """Name of a run file: ``run_talentclef-2025-validation_en-es_builtin-pretrained.trec``."""
    return f"run_{slug(f'{benchmark.name} {benchmark.split}')}_{benchmark.pair}_{tag}.trec"


def run_tag(model: str, variant: str) -> str:
    """Name of a run, e.g. ``builtin-pretrained``; baselines have no variant."""
    return f"{slug(model)}-{variant}" if variant else slug(model)


class RunWriter:
    """Writes a run query by query.

    Args:
        file: to write to.
        tag: name of the run.
    """

    def __init__(self, file: TextIO, tag: str) -> None:
        self._file, self._tag = file, tag

    def add(self, q_id: str, ranking: Iterable[tuple[str, float]]) -> None:
        """Write the ranking of a query, documents and scores, best first.

        Scores beyond 1, which cosines are not, are divided by the largest of the query.
        """
        ranked = list(ranking)
        scale = max(1.0, *(abs(score) for _, score in ranked)) if ranked else 1.0
        steps = math.inf
        lines = []
        for rank, (doc_id, score) in enumerate(ranked, start=1):
            if len(q_id.split()) != 1 or len(doc_id.split()) != 1:
                raise BenchmarkError(
                    f"query {q_id!r}, document {doc_id!r}: a run file cannot hold an id that is "
                    "empty or has white space. Rename it in the benchmark"
                )
            steps = min(round(score / scale * _STEPS_PER_UNIT), steps - 1)
            printed = f"{steps / _STEPS_PER_UNIT:.6f}"
            lines.append(f"{q_id} Q0 {doc_id} {rank} {printed} {self._tag}\n")
        self._file.writelines(lines)


@contextmanager
def run_writer(path: Path, tag: str) -> Iterator[RunWriter]:
    """A writer of a run file, which appears when all is written, or not at all.

    Raises:
        BenchmarkError: the file cannot be written, or an id holds white space.
    """
    with (
        whole_file(path, "choose another folder for runs", BenchmarkError) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        yield RunWriter(file, tag)


def write_run(path: Path, run: Iterable[tuple[str, Iterable[tuple[str, float]]]], tag: str) -> None:
    """Write a whole run, queries in the order given.

    Raises:
        BenchmarkError: the file cannot be written, or an id holds white space.
    """
    with run_writer(path, tag) as writer:
        for q_id, ranking in run:
            writer.add(q_id, ranking)


def read_run(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Read a run file: query id -> documents and scores by falling score, ties as in the file.

    Raises:
        BenchmarkError: with file and line, for a line of another form or a document that stands
            twice for a query; for an empty file.
        SourceError: it cannot be read.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in enumerate(text_lines(lambda: path.open("rb"), str(path)), start=1):
        fields = [] if is_undecoded(line) else line.split()
        score = _score(fields)
        problem = ""
        if score is None:
            problem = "not 'q_id Q0 doc_id rank score tag' with a score that is a number"
            if len(fields) == QRELS_COLUMNS:
                problem += " (this looks like a line of judgements)"
        elif fields[2] in run.get(fields[0], {}):
            problem = f"document {fields[2]!r} stands twice for query {fields[0]!r}"
        if problem or score is None:
            raise BenchmarkError(f"{path}, line {number}: {problem}: {line[:60]!r}")
        run.setdefault(fields[0], {})[fields[2]] = score
    if not run:
        raise BenchmarkError(f"{path} is empty: give a TREC run file")
    return {q_id: _sorted(documents.items()) for q_id, documents in run.items()}


def read_score(text: str) -> float | None:
    """The score that a field holds, or None if it is no finite number."""
    try:
        score = float(text)
    except ValueError:
        return None
    # Other readers do not take 1_000 or digits of other scripts, as Python does.
    return score if math.isfinite(score) and text.isascii() and "_" not in text else None


def _sorted(documents: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(documents, key=lambda document: -document[1])


def _score(fields: Sequence[str]) -> float | None:
    return read_score(fields[4]) if len(fields) == RUN_COLUMNS else None
