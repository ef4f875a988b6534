"""Evaluates one system on one benchmark: its rankings are scored query by query."""

import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from eval import statistics
from eval.benchmarks.base import Benchmark
from eval.diagnostics.facts import copies_of_queries, facts_of
from eval.diagnostics.gender import DEPTH, GenderProbe
from eval.metrics import MEASURES, score_ranking, summarize
from eval.results import KEPT_HITS, Cell, QueryResult, RankedTitle, cell_path, read_if_valid
from eval.runs.trec import run_name, run_tag, run_writer
from eval.systems import Ranked, System
from ingest.gendered import RULES_VERSION
from ingest.language_guard import check_titles
from jobsearch.search.full_ranking import Ranking
from jobsearch.text import NORMALIZATION_VERSION

#: Run files hold whole rankings of corpora up to this size. For larger corpora they hold the first
#: :data:`CUT_RUN_DEPTH` documents, trec_eval's usual depth: a whole MELO set would be 60 million
#: lines. Metrics always use the whole ranking.
FULL_RUN_DOCUMENTS = 10_000
CUT_RUN_DEPTH = 1_000
# Increased when equal rankings get other figures.
_VERSION = 1
_HASHED_DEPTH = 100


def cell_key(benchmark: Benchmark, system: System, depth: int | None = None) -> str:
    """Digest of everything that the figures depend on: equal keys mean equal figures."""
    rules = [_VERSION, NORMALIZATION_VERSION, RULES_VERSION]
    facts = [*rules, benchmark.sha256, system.description, depth]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def find_cell(folder: Path, benchmark: Benchmark, system: System) -> Cell | None:
    """Find the cell of an earlier evaluation; None if it is missing or its inputs have changed."""
    tag = run_tag(system.model, system.variant)
    path = cell_path(folder, benchmark.name, benchmark.split, benchmark.pair, tag)
    cell = read_if_valid(path)
    return cell if cell and cell.key == cell_key(benchmark, system) else None


def evaluate(
    benchmark: Benchmark,
    system: System,
    *,
    depth: int | None = None,
    runs_dir: Path | None = None,
    language_check: bool = True,
    progress: bool = False,
) -> Cell:
    """Measure a system on a benchmark.

    Args:
        benchmark: the benchmark to measure on.
        system: the system to measure.
        depth: length of the rankings; the whole corpus if None.
        runs_dir: folder for the TREC run file; if None, no run file is written.
        language_check: refuse queries or documents that are clearly in another language than the
            benchmark states.
        progress: draw progress bars on stderr, if it is a terminal.

    Raises:
        BenchmarkError: the collections do not hold exactly the corpus, or a run file cannot be
            written.
        LanguageMismatch: titles are clearly in another language.
        SourceError: the corpus cannot be ingested.
        StoreError: the store failed; ``CollectionMismatch`` if a collection has another language,
            model or variant.
        ValueError: ``depth`` is less than 1.
    """
    if depth is not None and depth < 1:
        raise ValueError(f"depth is {depth}: give at least 1")
    started = time.perf_counter()
    if language_check:
        _check_languages(benchmark)
    ranked = system.rank(benchmark, depth=depth, progress=progress)
    rankings = tqdm(
        ranked.rankings,
        total=len(benchmark.queries),
        desc=f"{benchmark.name} {benchmark.pair}",
        unit=" queries",
        disable=None if progress else True,  # None draws on a terminal only
    )
    tag = run_tag(system.model, system.variant)
    run_file = runs_dir / run_name(benchmark, tag) if runs_dir else None
    gender = GenderProbe(benchmark)
    results, digest = _score(benchmark, ranked, rankings, run_file, tag, gender)
    scores = summarize({r.query_id: r.metrics for r in results}, benchmark.qrels, benchmark.queries)
    return Cell(
        benchmark=benchmark.name,
        split=benchmark.split,
        pair=benchmark.pair,
        model=system.model,
        variant=system.variant,
        queries=len(benchmark.queries),
        corpus=len(benchmark.documents),
        relevant=benchmark.relevant,
        metrics=dict(scores.means),
        collections=ranked.collections,
        seconds=time.perf_counter() - started,
        missing_queries=scores.missing_queries,
        queries_without_relevant=benchmark.queries_without_relevant,
        run_file=run_file,
        intervals=_intervals(results),
        without_copies=_means([r.without_copies for r in results if r.without_copies]),
        facts=facts_of(benchmark),
        per_query=results,
        gender=gender.report({r.query_id: r.metrics["MAP"] for r in results}),
        ranking_sha256=digest,
        key=cell_key(benchmark, system, depth),
        provenance=_provenance(benchmark, system, depth),
    )


def _provenance(benchmark: Benchmark, system: System, depth: int | None) -> dict[str, Any]:
    """Facts needed to reproduce the figures, and the time of the evaluation."""
    packages = ("jobsearch", "ir-measures", "numpy", "sentence-transformers", "torch")
    return {
        "system": system.description,
        "benchmark_sha256": benchmark.sha256,
        "depth": depth,
        "bootstrap": {"resamples": statistics.RESAMPLES, "seed": statistics.SEED},
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check_languages(benchmark: Benchmark) -> None:
    name = f"{benchmark.name} {benchmark.split} {benchmark.pair}"
    check_titles(benchmark.queries.values(), benchmark.query_language, where=f"queries of {name}")
    for language in benchmark.corpus.languages:
        titles = list(benchmark.corpus.titles_in(language))
        check_titles(titles, language, where=f"corpus of {name}")


def _score(
    benchmark: Benchmark,
    ranked: Ranked,
    rankings: Iterable[Ranking],
    run_file: Path | None,
    tag: str,
    gender: GenderProbe,
) -> tuple[tuple[QueryResult, ...], str]:
    """Score query by query: all rankings of a large corpus would not fit into memory.

    The same pass writes the run file and fills ``gender``.

    Returns:
        The judged queries in the order of the judgements, and a digest of all rankings.
    """
    doc_ids = ranked.doc_ids
    place_of = {doc_id: place for place, doc_id in enumerate(doc_ids)}
    copies = copies_of_queries(benchmark)
    cut = CUT_RUN_DEPTH if len(doc_ids) > FULL_RUN_DOCUMENTS else None
    results: dict[str, QueryResult] = {}
    digest = hashlib.sha256(json.dumps(doc_ids).encode())
    with run_writer(run_file, tag) if run_file else nullcontext() as writer:
        for q_id, ranking in zip(benchmark.queries, rankings, strict=True):
            digest.update(ranking.places[:_HASHED_DEPTH].astype(np.int64).tobytes())
            if writer:
                writer.add(q_id, _documents(doc_ids, ranking, cut))
            if gender.wants(q_id):
                best = _documents(doc_ids, ranking, DEPTH)
                gender.add(q_id, [doc_id for doc_id, _ in best])
            judged = benchmark.qrels.get(q_id)
            if judged is None:
                continue
            relevant = {doc_id for doc_id, value in judged.items() if value > 0}
            places = [place_of[doc_id] for doc_id in relevant]
            scored = _down_to_last(ranking.places, places, doc_ids)
            metrics = score_ranking(scored, judged)
            results[q_id] = QueryResult(
                query_id=q_id,
                title=benchmark.queries[q_id],
                relevant=len(relevant),
                metrics=metrics,
                without_copies=_without(copies.get(q_id), scored, judged, metrics),
                best=tuple(
                    RankedTitle(doc_id, benchmark.documents[doc_id], score, judged.get(doc_id))
                    for doc_id, score in _documents(doc_ids, ranking, KEPT_HITS)
                ),
            )
    in_order = tuple(results[q_id] for q_id in benchmark.qrels if q_id in results)
    return in_order, digest.hexdigest()


def _documents(
    doc_ids: list[str], ranking: Ranking, depth: int | None
) -> Iterator[tuple[str, float]]:
    places, scores = ranking.places[:depth].tolist(), ranking.scores[:depth].tolist()
    return zip(map(doc_ids.__getitem__, places), scores, strict=True)


def _down_to_last(
    places: npt.NDArray[np.intp], relevant: Sequence[int], doc_ids: list[str]
) -> list[str]:
    """The ranking down to the last relevant document: metrics do not depend on the rest."""
    last = np.flatnonzero(np.isin(places, relevant))[-1:]
    return [doc_ids[place] for place in places[: last[0] + 1 if last.size else 0].tolist()]


def _without(
    copies: frozenset[str] | None,
    ranking: list[str],
    judged: Mapping[str, int],
    metrics: Mapping[str, float],
) -> Mapping[str, float] | None:
    """Metrics after copies of the query are removed; None if no relevant document is left."""
    if not copies or not any(value > 0 for value in judged.values()):
        return metrics
    left = {doc_id: value for doc_id, value in judged.items() if doc_id not in copies}
    if not any(value > 0 for value in left.values()):
        return None
    return score_ranking([doc_id for doc_id in ranking if doc_id not in copies], left)


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if not values:
        return {}
    return {name: sum(value[name] for value in values) / len(values) for name in MEASURES}


def _intervals(results: Sequence[QueryResult]) -> dict[str, tuple[float, float]]:
    if not results:
        return {}
    values = np.array([[result.metrics[name] for result in results] for name in MEASURES])
    return dict(zip(MEASURES, statistics.bootstrap_interval(values), strict=True))
