"""Runs a benchmark: through the store, with the filters and the guard that search uses."""

import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from eval.benchmarks import Benchmark
from eval.metrics import Scores, score_ranking, summarize
from eval.trec import RunWriter, run_name, run_tag
from ingest.language_guard import check_titles
from ingest.pipeline import ingest
from jobsearch.errors import BenchmarkError
from jobsearch.models.encoder import TitleEncoder
from jobsearch.search.exact import Ranking, exact_rankings, read_points
from jobsearch.store import PointBatch, Store, check_collection
from jobsearch.store.names import eval_namespace
from jobsearch.types import Filters, Variant

#: Rankings of corpora larger than this are cut in run files, at trec_eval's usual depth: a MELO
#: set in full would be 60 million lines. Metrics are always those of the whole ranking.
FULL_RUN_DOCUMENTS = 10_000
CUT_RUN_DEPTH = 1_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the leaderboard: a benchmark and an encoder.

    Args:
        benchmark, split, pair: what was measured on; ``pair`` is query and corpus language.
        model, variant: what was measured.
        queries, corpus: numbers of queries and of documents.
        relevant: number of judgements that say relevant.
        metrics: means over the judged queries, in [0, 1].
        collection: physical name of the collection that was asked.
        seconds: of the whole evaluation, with the ingest if there was one.
        missing_queries: judged queries without a ranking, which score 0.
        queries_without_relevant: queries for which no document is relevant.
        run_file: the TREC run, if one was written.
    """

    benchmark: str
    split: str
    pair: str
    model: str
    variant: Variant
    queries: int
    corpus: int
    relevant: int
    metrics: dict[str, float]
    collection: str
    seconds: float
    missing_queries: tuple[str, ...] = ()
    queries_without_relevant: tuple[str, ...] = ()
    run_file: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "benchmark": self.benchmark,
            "split": self.split,
            "pair": self.pair,
            "model": self.model,
            "variant": self.variant,
            "queries": self.queries,
            "corpus": self.corpus,
            "metrics": dict(self.metrics),
            "relevant": self.relevant,
            "collection": self.collection,
            "seconds": self.seconds,
            "missing_queries": list(self.missing_queries),
            "queries_without_relevant": list(self.queries_without_relevant),
            "run_file": str(self.run_file) if self.run_file else None,
        }


def evaluate(
    benchmark: Benchmark,
    store: Store,
    encoder: TitleEncoder,
    *,
    depth: int | None = None,
    runs_dir: Path | None = None,
    language_check: bool = True,
    progress: bool = False,
) -> Cell:
    """Measure an encoder on a benchmark.

    The corpus is ingested like any other source, into collections apart from those that are
    searched, unless it is there already. Rankings are exact and come from the stored vectors.

    Args:
        benchmark: what to measure on.
        store: holds the corpus.
        encoder: what to measure.
        depth: length of the rankings; the whole corpus if None.
        runs_dir: folder for the TREC run file; none is written if None.
        language_check: refuse queries or documents that are plainly in another language than the
            benchmark says.
        progress: draw bars on the standard error, if that is a terminal.

    Raises:
        BenchmarkError: the collection does not hold exactly the corpus, or a run cannot be written.
        LanguageMismatch: titles are in another language.
        SourceError: the corpus cannot be ingested.
        StoreError: the store failed; ``CollectionMismatch`` if the collection is not what was
            asked for.
        ValueError: ``depth`` is less than 1.
    """
    if depth is not None and depth < 1:
        raise ValueError(f"depth is {depth}: a ranking has at least one document")
    started = time.perf_counter()
    if language_check:
        _check_languages(benchmark)
    collection, points = _corpus_points(benchmark, store, encoder, progress=progress)
    vectors = encoder.encode_queries(list(benchmark.queries.values()))
    run_file = runs_dir / run_name(benchmark, encoder.info) if runs_dir else None
    rankings = tqdm(
        exact_rankings(points, vectors, depth=depth),
        total=len(benchmark.queries),
        desc=f"{benchmark.name} {benchmark.pair}",
        unit=" queries",
        disable=None if progress else True,  # None: only on a terminal
    )
    scores = _rank_and_score(benchmark, points, rankings, run_file, run_tag(encoder.info))
    return Cell(
        benchmark=benchmark.name,
        split=benchmark.split,
        pair=benchmark.pair,
        model=encoder.info.model,
        variant=encoder.info.variant,
        queries=len(benchmark.queries),
        corpus=len(benchmark.corpus_ids),
        relevant=benchmark.relevant,
        metrics=dict(scores.means),
        collection=collection,
        seconds=time.perf_counter() - started,
        missing_queries=scores.missing_queries,
        queries_without_relevant=benchmark.queries_without_relevant,
        run_file=run_file,
    )


def _check_languages(benchmark: Benchmark) -> None:
    of = f"{benchmark.name} {benchmark.split} {benchmark.pair}"
    check_titles(benchmark.queries.values(), benchmark.query_language, where=f"queries of {of}")
    documents = (
        record.title
        for row in benchmark.corpus.rows(benchmark.corpus_language)
        for record in row.records
    )
    check_titles(documents, benchmark.corpus_language, where=f"corpus of {of}")


def _corpus_points(
    benchmark: Benchmark, store: Store, encoder: TitleEncoder, *, progress: bool
) -> tuple[str, PointBatch]:
    """Name of the collection with the corpus, and the corpus's points in it."""
    language, corpus = benchmark.corpus_language, benchmark.corpus
    summary = ingest(
        corpus,
        language,
        store,
        encoder,
        namespace=eval_namespace(corpus.name, corpus.split),
        # Done before, whether or not the corpus is stored already.
        language_check=False,
        # A document that is not stored could not be found.
        max_rejects=0.0,
        progress=progress,
    )
    info = store.describe(summary.collection)
    check_collection(info.name, info.metadata, language=language, encoder=encoder.info)
    filters = Filters(
        languages=(language,),
        sources=(corpus.name,),
        splits=(corpus.split,) if corpus.split else (),
    )
    points = read_points(store, info.name, filters)
    found = [payload.get("doc_id", "") for payload in points.payloads]
    if len(found) != len(benchmark.corpus_ids) or set(found) != benchmark.corpus_ids:
        raise BenchmarkError(
            f"collection {info.name} holds {len(found)} documents of {corpus.name} "
            f"{corpus.split}, the benchmark has {len(benchmark.corpus_ids)}: drop the collection "
            "and evaluate again"
        )
    return info.name, points


def _rank_and_score(
    benchmark: Benchmark,
    points: PointBatch,
    rankings: Iterable[Ranking],
    run_file: Path | None,
    tag: str,
) -> Scores:
    """Score query by query: all rankings of a large corpus would not fit into memory."""
    doc_ids = [payload["doc_id"] for payload in points.payloads]
    place_of = {doc_id: place for place, doc_id in enumerate(doc_ids)}
    cut = CUT_RUN_DEPTH if len(doc_ids) > FULL_RUN_DOCUMENTS else None
    per_query: dict[str, dict[str, float]] = {}
    with RunWriter(run_file, tag) if run_file else nullcontext() as writer:
        for q_id, ranking in zip(benchmark.queries, rankings, strict=True):
            if writer:
                ranked = map(doc_ids.__getitem__, ranking.places[:cut].tolist())
                writer.add(q_id, zip(ranked, ranking.scores[:cut].tolist(), strict=True))
            judged = benchmark.qrels.get(q_id)
            if judged is not None:
                # No metric depends on what comes after the last relevant document.
                relevant = [place_of[doc_id] for doc_id, value in judged.items() if value > 0]
                last = np.flatnonzero(np.isin(ranking.places, relevant))[-1:]
                needed = ranking.places[: last[0] + 1 if last.size else 0]
                per_query[q_id] = score_ranking([doc_ids[place] for place in needed], judged)
    return summarize(per_query, benchmark.qrels, benchmark.queries)
