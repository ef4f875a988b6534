"""Measures what the approximate index of a live collection loses against an exact search.

Each query is sent to the collection as in a search, one at a time: exactly, through the index, and
through the index with filters.
"""

import time
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from eval.benchmarks.base import Benchmark
from eval.metrics import score_ranking
from eval.results import IndexMode
from jobsearch.models.encoder import QueryEncoder
from jobsearch.store import ScoredPoint, Store
from jobsearch.types import Filters
from jobsearch.vectors import Vectors

#: Number of documents per query.
DEPTH = 100
_RECALL_DEPTHS = (10, 100)
_PERCENTILES = (50, 95, 99)


def measure_index(
    benchmark: Benchmark, store: Store, collections: Sequence[str], encoder: QueryEncoder
) -> tuple[IndexMode, ...]:
    """Send all queries to the collections, in every mode.

    Args:
        benchmark: the benchmark whose corpus the collections hold.
        store: the store of the collections.
        collections: names of the collections, one per language of the corpus.
        encoder: the encoder that embedded the corpus.

    Returns:
        The exact search first, then the index without and with filters.

    Raises:
        StoreError: the store failed.
    """
    vectors = encoder.encode_queries(list(benchmark.queries.values()))
    filters = benchmark.corpus.filters
    quantization = store.describe(collections[0]).metadata.storage.quantization
    index = "index" if quantization in (None, "none") else f"{quantization} index"
    #: Mode -> filters, and whether the search is exact.
    modes: dict[str, tuple[Filters | None, bool]] = {
        "exact": (filters, True),
        index: (None, False),
        f"{index}, filtered": (filters, False),
    }

    def search(query: Vectors, condition: Filters | None, exact: bool) -> list[ScoredPoint]:
        """Search all collections and merge the hits, as a search in several languages does."""
        merged: list[ScoredPoint] = []
        for name in collections:
            [hits] = store.query(name, query, limit=DEPTH, filters=condition, exact=exact)
            merged += hits
        return sorted(merged, key=lambda hit: (-hit.score, hit.id))[:DEPTH]

    # The first query opens the collections, which must not be timed.
    search(vectors[:1], None, False)
    measured: list[IndexMode] = []
    exact_rankings: list[list[str]] = []
    for mode, (condition, exact) in modes.items():
        rankings, seconds = [], []
        for row in range(len(vectors)):
            started = time.perf_counter()
            hits = search(vectors[row : row + 1], condition, exact)
            seconds.append(time.perf_counter() - started)
            rankings.append(_doc_ids(hits))
        exact_rankings = exact_rankings or rankings
        measured.append(
            IndexMode(
                mode,
                {str(depth): _recall(rankings, exact_rankings, depth) for depth in _RECALL_DEPTHS},
                _map(benchmark, rankings),
                {str(q): float(np.percentile(seconds, q)) * 1000 for q in _PERCENTILES},
            )
        )
    return tuple(measured)


def _doc_ids(hits: Sequence[ScoredPoint]) -> list[str]:
    return [hit.payload["doc_id"] for hit in hits]


def _recall(rankings: list[list[str]], exact: list[list[str]], depth: int) -> float:
    return fmean(
        len(set(ranking[:depth]).intersection(best[:depth])) / len(best[:depth])
        for ranking, best in zip(rankings, exact, strict=True)
    )


def _map(benchmark: Benchmark, rankings: list[list[str]]) -> float:
    ranked = dict(zip(benchmark.queries, rankings, strict=True))
    return fmean(
        score_ranking(ranked[q_id], judged)["MAP"] for q_id, judged in benchmark.qrels.items()
    )
