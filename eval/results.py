"""Results: what an evaluation measures, and its files.

A cell is one system measured on one benchmark. It is kept as a JSON file,
``<folder>/<system>/<benchmark>-<split>_<pair>.json``. Files are written atomically, so an
interrupted evaluation resumes with the missing cells; a cell whose inputs have changed is measured
again. Reading results needs neither a model nor a store.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from eval.diagnostics.gender import GenderReport
from eval.metrics import MEASURES
from eval.runs.trec import run_tag
from eval.values import Amount, Count, Score, Share
from jobsearch.errors import BenchmarkError
from jobsearch.files import whole_file
from jobsearch.text import slug

if TYPE_CHECKING:
    from pydantic import TypeAdapter

#: Format of the files; increased when it changes.
FORMAT = 2
#: Number of documents at the top of each ranking that a cell keeps for inspection.
KEPT_HITS = 10


@dataclass(frozen=True, slots=True)
class RankedTitle:
    """A document in a ranking.

    Args:
        doc_id, title: id and title of the document.
        score: score given by the system; higher is better.
        relevance: judged relevance; None if the document was not judged.
    """

    doc_id: str
    title: str
    score: Score
    relevance: int | None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a system for one judged query.

    Args:
        query_id, title: id and title of the query.
        relevant: number of relevant documents.
        metrics: metric -> value in [0, 1].
        without_copies: the same metrics after documents with exactly the title of the query are
            removed from the corpus and from the judgements; None if no relevant document is left.
        best: the first :data:`KEPT_HITS` documents of the ranking.
    """

    query_id: str
    title: str
    relevant: Count
    metrics: Mapping[str, Share]
    without_copies: Mapping[str, Share] | None
    best: tuple[RankedTitle, ...]


@dataclass(frozen=True, slots=True)
class BenchmarkFacts:
    """Properties of a benchmark that affect the figures of every system.

    Args:
        copies: number of queries whose title is also, case aside, the title of a document.
        copies_not_relevant: number of these queries without a relevant copy.
        repeated_titles: number of distinct titles that several documents have.
        contradictions: number of pairs of a query and a title for which one document with the title
            is relevant and another is not.
        random_map: expected MAP of a random ranking.
        best_map: depth of a run -> highest MAP that a run of this depth can reach.
    """

    copies: Count
    copies_not_relevant: Count
    repeated_titles: Count
    contradictions: Count
    random_map: Share
    best_map: Mapping[str, Share]


@dataclass(frozen=True, slots=True)
class IndexMode:
    """Accuracy and speed of one way to search the live collection.

    Args:
        mode: ``exact``, ``index`` or ``index, filtered``; for a quantised index ``int8 index``.
        recall: depth -> share of the documents of the exact search down to that depth that this
            search finds too, mean over the queries.
        map_at_depth: MAP of rankings of 100 documents.
        milliseconds: percentile -> time of one query in the store.
    """

    mode: str
    recall: dict[str, Share]
    map_at_depth: Share
    milliseconds: dict[str, Amount]


@dataclass(frozen=True, slots=True)
class Cell:
    """One system measured on one benchmark.

    Args:
        benchmark, split, pair: the benchmark; ``pair`` is query language and corpus languages.
        model, variant: the system; a baseline has no variant.
        queries, corpus: numbers of queries and of documents.
        relevant: number of judgements with a relevance of 1 or more.
        metrics: metric -> mean over the judged queries, in [0, 1].
        collections: physical names of the collections that were searched; a baseline has none.
        seconds: duration of the evaluation, including the ingest if the corpus was not stored yet.
        missing_queries: judged queries without a ranking, which score 0.
        queries_without_relevant: queries for which no document is relevant.
        run_file: the TREC run file, if one was written.
        intervals: metric -> 95% bootstrap interval of the mean.
        without_copies: metric -> mean after documents with exactly the title of the query are
            removed.
        facts: properties of the benchmark that affect the figures.
        per_query: the judged queries, in the order of the judgements.
        gender: masculine and feminine queries compared; None if the benchmark has no such pairs.
        index: accuracy and speed of the live index; empty if not measured.
        ranking_sha256: digest of all rankings down to rank 100; equal only for equal rankings.
        key: digest of everything that the figures depend on; see :func:`eval.run.cell_key`.
        provenance: further facts needed to reproduce the figures.
    """

    benchmark: str
    split: str
    pair: Annotated[str, Field(pattern="^[^-]+-[^-]+$")]
    model: str
    variant: str
    queries: Count
    corpus: Count
    relevant: Count
    metrics: Mapping[str, Share]
    collections: tuple[str, ...]
    seconds: Amount
    missing_queries: tuple[str, ...] = ()
    queries_without_relevant: tuple[str, ...] = ()
    run_file: Path | None = None
    intervals: Mapping[str, tuple[Share, Share]] = field(default_factory=dict)
    without_copies: Mapping[str, Share] = field(default_factory=dict)
    facts: BenchmarkFacts | None = None
    per_query: tuple[QueryResult, ...] = ()
    gender: GenderReport | None = None
    index: tuple[IndexMode, ...] = ()
    ranking_sha256: str = ""
    key: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """Name of the system, e.g. ``builtin finetuned``."""
        return f"{self.model} {self.variant}".strip()

    def as_dict(self, *, per_query: bool = False) -> dict[str, Any]:
        """Plain data for JSON; ``per_query=True`` adds the queries, by far the largest part."""
        data = {
            "benchmark": self.benchmark,
            "split": self.split,
            "pair": self.pair,
            "model": self.model,
            "variant": self.variant,
            "queries": self.queries,
            "corpus": self.corpus,
            "metrics": dict(self.metrics),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "without_copies": dict(self.without_copies),
            "relevant": self.relevant,
            "facts": asdict(self.facts) if self.facts else None,
            "gender": self.gender.as_dict() if self.gender else None,
            "index": [asdict(mode) for mode in self.index],
            "collections": list(self.collections),
            "seconds": self.seconds,
            "missing_queries": list(self.missing_queries),
            "queries_without_relevant": list(self.queries_without_relevant),
            # A path that is not UTF-8 has lone surrogates, which cannot be written.
            "run_file": os.fsencode(self.run_file).decode(errors="replace")
            if self.run_file
            else None,
            "ranking_sha256": self.ranking_sha256,
            "key": self.key,
            "provenance": dict(self.provenance),
        }
        if per_query:
            data["per_query"] = [asdict(result) for result in self.per_query]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Cell":
        """Read the output of ``as_dict(per_query=True)``.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: ``data`` has another form, or a value
                has another type or is outside its range.
        """
        if problem := data.keys() ^ {each.name for each in fields(cls)}:
            raise ValueError(f"missing or unknown: {', '.join(sorted(problem))}")
        plain = {**data, "gender": GenderReport.plain(data["gender"]) if data["gender"] else None}
        cell = _cells().validate_json(json.dumps(plain), strict=True)
        _check_together(cell)
        return cell


@cache
def _cells() -> "TypeAdapter[Cell]":
    from pydantic import TypeAdapter

    return TypeAdapter(Cell)


def _check_together(cell: Cell) -> None:
    """Check what the types of the fields do not say; raise ``ValueError``."""
    figures = [cell.metrics, *(query.metrics for query in cell.per_query)]
    others = [cell.intervals, cell.without_copies]
    others += [query.without_copies for query in cell.per_query if query.without_copies is not None]
    for names in (*figures, *filter(None, others)):
        if names.keys() != MEASURES.keys():
            raise ValueError(f"metrics {', '.join(names)}")
    if any(low > high for low, high in cell.intervals.values()):
        raise ValueError("an interval ends before it begins")
    ids = {query.query_id for query in cell.per_query}
    if not ids or len(ids) < len(cell.per_query):
        raise ValueError("no queries, or the same query twice")
    if len({(tuple(mode.recall), tuple(mode.milliseconds)) for mode in cell.index}) > 1:
        raise ValueError("measurements of the index at different depths")
    for name in ("system", "versions"):
        if not isinstance(cell.provenance.get(name, {}), dict):
            raise ValueError(f"provenance.{name}")


def cell_path(folder: Path, benchmark: str, split: str, pair: str, tag: str) -> Path:
    """The file of a cell; ``tag`` names the system (:func:`eval.runs.trec.run_tag`)."""
    return folder / tag / f"{slug(f'{benchmark} {split}')}_{pair}.json"


def save_cell(folder: Path, cell: Cell) -> Path:
    """Write a cell with all its queries; an earlier cell of the same names is replaced.

    Returns:
        The file.

    Raises:
        BenchmarkError: the file cannot be written, or holds a cell of other names.
    """
    tag = run_tag(cell.model, cell.variant)
    path = cell_path(folder, cell.benchmark, cell.split, cell.pair, tag)
    earlier = read_if_valid(path)
    if earlier and _names(earlier) != _names(cell):
        raise BenchmarkError(
            f"{path} holds {' '.join(_names(earlier))}, and {' '.join(_names(cell))} would have "
            "the same file name: choose another folder for `results`"
        )
    data = {"format": FORMAT, "cell": cell.as_dict(per_query=True)}
    with whole_file(path, "choose another folder for `results`", BenchmarkError) as partial:
        partial.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def _names(cell: Cell) -> tuple[str, ...]:
    return cell.system, cell.benchmark, cell.split


def read_if_valid(path: Path) -> Cell | None:
    """Read a cell; None if the file is missing, damaged, or of another format."""
    try:
        return read_cell(path) if path.exists() else None
    except BenchmarkError:
        return None


def read_cell(path: Path) -> Cell:
    """Read the file of one cell.

    Raises:
        BenchmarkError: the file cannot be read, is damaged, or has another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise BenchmarkError(
                f"{path} has format {repr(data['format'])[:20]}, this version reads {FORMAT}: "
                "evaluate again into another folder"
            )
        return Cell.from_dict(data["cell"])
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror or error}): give a folder written by "
            "`jobsearch eval … --results`"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BenchmarkError(
            f"{path} is damaged, or not a result of `jobsearch eval … --results`: give a folder "
            "of results, or evaluate again into another folder"
        ) from error


def read_cells(folder: Path) -> list[Cell]:
    """Read all cells of a folder of results, or of the folder of one system in it.

    Returns:
        The cells, sorted by file name.

    Raises:
        BenchmarkError: there are no cells, a cell cannot be read, or cells of one system were
            measured with different weights or settings.
    """
    paths = sorted(folder.glob("*.json")) or sorted(folder.glob("*/*.json"))
    if not paths:
        raise BenchmarkError(
            f"{folder} holds no results: write some with "
            f"`jobsearch eval talentclef PATH --results {folder}`"
        )
    cells = [read_cell(path) for path in paths]
    descriptions: dict[str, Any] = {}
    for path, cell in zip(paths, cells, strict=True):
        description = cell.provenance.get("system")
        if descriptions.setdefault(cell.system, description) != description:
            raise BenchmarkError(
                f"{path} and other results of {cell.system} were measured with different weights "
                "or settings and cannot be in one table: evaluate all of them again"
            )
    return cells
