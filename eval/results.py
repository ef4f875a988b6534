"""Cells on disk: ``<folder>/<system>/<benchmark>-<split>_<pair>.json``, one file each.

A cell is written when it is complete and never in part, so an evaluation that was broken off goes
on with what is missing, and a cell whose inputs have changed is measured again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from eval.diagnostics.gender import GenderReport
from eval.runs.trec import run_tag
from jobsearch.errors import BenchmarkError
from jobsearch.files import whole_file
from jobsearch.text import slug

#: Documents of each ranking that a cell keeps, to be looked at.
KEPT_HITS = 10


@dataclass(frozen=True, slots=True)
class RankedTitle:
    """A document in a ranking.

    Args:
        doc_id, title: of the document.
        score: the system's, higher is better.
        relevance: as judged; None if it was not.
    """

    doc_id: str
    title: str
    score: float
    relevance: int | None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a system does for one judged query.

    Args:
        query_id, title: of the query.
        relevant: number of relevant documents.
        metrics: value by metric, in [0, 1].
        without_copies: the same after the documents that are the query word for word are taken out
            of the corpus and of the judgements; None if no relevant document is left.
        best: the first documents of the ranking.
    """

    query_id: str
    title: str
    relevant: int
    metrics: Mapping[str, float]
    without_copies: Mapping[str, float] | None
    best: tuple[RankedTitle, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` made."""
        return cls(**{**data, "best": tuple(RankedTitle(**hit) for hit in data["best"])})


@dataclass(frozen=True, slots=True)
class BenchmarkFacts:
    """What the figures of a benchmark hide, whatever system is measured on it.

    Args:
        copies: queries that stand word for word among the documents.
        copies_not_relevant: of these, the ones of which no copy is judged relevant.
        repeated_titles: distinct titles that several documents have.
        contradictions: queries and titles of which one document is judged relevant and another of
            the same title is not.
        random_map: MAP that a random ranking can expect.
        best_map: depth of a run -> the highest MAP that any run of that depth can reach.
    """

    copies: int
    copies_not_relevant: int
    repeated_titles: int
    contradictions: int
    random_map: float
    best_map: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class IndexMode:
    """One way to ask the collection.

    Args:
        mode: ``exact``, ``index`` or ``index, filtered``; for a quantised index ``int8 index``.
        recall: depth -> share of the documents of the exact search down to that depth that are
            found, mean over the queries.
        map_at_depth: MAP of rankings of 100 documents.
        milliseconds: percentile -> time of one query in the store.
    """

    mode: str
    recall: dict[str, float]
    map_at_depth: float
    milliseconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """A benchmark and a system that was measured on it.

    Args:
        benchmark, split, pair: what was measured on; ``pair`` is query and corpus language.
        model, variant: what was measured; a baseline has no variant.
        queries, corpus: numbers of queries and of documents.
        relevant: number of judgements that say relevant.
        metrics: means over the judged queries, in [0, 1].
        collections: physical names of the collections that were asked; a baseline has none.
        seconds: of the whole evaluation, with the ingest if there was one.
        missing_queries: judged queries without a ranking, which score 0.
        queries_without_relevant: queries for which no document is relevant.
        run_file: the TREC run, if one was written.
        intervals: 95% bootstrap interval of each mean.
        without_copies: means after the documents that are the query word for word are taken out.
        facts: what the benchmark hides.
        per_query: the judged queries, in the order of the judgements.
        gender: masculine and feminine queries; None if the benchmark has no such pairs.
        index: what the live index loses, if that was measured.
        ranking_sha256: over all rankings down to rank 100; equal only for equal rankings.
        key: over everything that decides the figures; see :func:`eval.run.cell_key`.
        provenance: what else one needs to know to do it again.
    """

    benchmark: str
    split: str
    pair: str
    model: str
    variant: str
    queries: int
    corpus: int
    relevant: int
    metrics: Mapping[str, float]
    collections: tuple[str, ...]
    seconds: float
    missing_queries: tuple[str, ...] = ()
    queries_without_relevant: tuple[str, ...] = ()
    run_file: Path | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    without_copies: Mapping[str, float] = field(default_factory=dict)
    facts: BenchmarkFacts | None = None
    per_query: Sequence[QueryResult] = ()
    gender: GenderReport | None = None
    index: tuple[IndexMode, ...] = ()
    ranking_sha256: str = ""
    key: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """Name of what was measured, e.g. ``builtin finetuned``."""
        return f"{self.model} {self.variant}".strip()

    def as_dict(self, *, per_query: bool = False) -> dict[str, Any]:
        """Plain data for JSON; ``per_query`` adds every query, by far the most of it."""
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
            "run_file": str(self.run_file) if self.run_file else None,
            "ranking_sha256": self.ranking_sha256,
            "key": self.key,
            "provenance": dict(self.provenance),
        }
        if per_query:
            data["per_query"] = [asdict(result) for result in self.per_query]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_dict` made.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(
            **{
                **data,
                "intervals": {name: (low, high) for name, (low, high) in data["intervals"].items()},
                "facts": BenchmarkFacts(**data["facts"]) if data["facts"] else None,
                "gender": GenderReport.from_dict(data["gender"]) if data["gender"] else None,
                "index": tuple(IndexMode(**mode) for mode in data["index"]),
                "collections": tuple(data["collections"]),
                "missing_queries": tuple(data["missing_queries"]),
                "queries_without_relevant": tuple(data["queries_without_relevant"]),
                "run_file": Path(data["run_file"]) if data["run_file"] else None,
                "per_query": tuple(map(QueryResult.from_dict, data["per_query"])),
            }
        )


#: Of the files; raised when their form changes.
FORMAT = 2


def cell_path(folder: Path, benchmark: str, split: str, pair: str, tag: str) -> Path:
    """Where a cell is kept."""
    return folder / tag / f"{slug(f'{benchmark} {split}')}_{pair}.json"


def save_cell(folder: Path, cell: Cell) -> Path:
    """Write a cell with all its queries, in the place of an earlier one.

    Raises:
        BenchmarkError: it cannot be written, or another cell has the same file name.
    """
    tag = run_tag(cell.model, cell.variant)
    path = cell_path(folder, cell.benchmark, cell.split, cell.pair, tag)
    there = read_if_whole(path)
    if there and _names(there) != _names(cell):
        raise BenchmarkError(
            f"{path} holds {' '.join(_names(there))}, and {' '.join(_names(cell))} would have the "
            "same file name: choose another folder for results"
        )
    data = {"format": FORMAT, "cell": cell.as_dict(per_query=True)}
    with whole_file(path, "choose another folder for results", BenchmarkError) as partial:
        partial.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def read_if_whole(path: Path) -> Cell | None:
    """What is there, unless it was written by another version or is damaged: to be replaced."""
    try:
        return read_cell(path) if path.exists() else None
    except BenchmarkError:
        return None


def _names(cell: Cell) -> tuple[str, ...]:
    return cell.system, cell.benchmark, cell.split


def read_cell(path: Path) -> Cell:
    """Read one file.

    Raises:
        BenchmarkError: it cannot be read or is something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise BenchmarkError(
                f"{path} has format {data['format']!r}, this version reads {FORMAT}: "
                "evaluate again into another folder"
            )
        return Cell.from_dict(data["cell"])
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror or error}): give a folder that "
            "`jobsearch eval … --results` has written"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BenchmarkError(
            f"{path} is damaged, or no result of `jobsearch eval … --results`: give a folder of "
            "results, or evaluate again into another one"
        ) from error


def read_cells(folder: Path) -> list[Cell]:
    """All cells of a folder of results, or of one system's folder in it, sorted by file name.

    Raises:
        BenchmarkError: there are none, one cannot be read, or those of a system were not measured
            with the same weights.
    """
    paths = sorted(folder.glob("*.json")) or sorted(folder.glob("*/*.json"))
    if not paths:
        raise BenchmarkError(
            f"{folder} holds no results: write some with "
            f"`jobsearch eval talentclef PATH --results {folder}`"
        )
    cells = [read_cell(path) for path in paths]
    described: dict[str, Any] = {}
    for path, cell in zip(paths, cells, strict=True):
        own = cell.provenance.get("system")
        if described.setdefault(cell.system, own) != own:
            raise BenchmarkError(
                f"{path} and others of {cell.system} were measured with different weights or "
                "settings, which do not make one table: evaluate all again"
            )
    return cells
