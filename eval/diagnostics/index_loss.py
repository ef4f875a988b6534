"""What the live index loses against an exact search, apart from what the model loses.

Every query is asked as a search would ask it, one at a time, of the collection as it is: exactly,
through the index, and through the index with the filters of a search.
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

#: Documents that are asked for.
DEPTH = 100
_RECALL_DEPTHS = (10, 100)
_QUANTILES = (50, 95, 99)


def measure_index(
    benchmark: Benchmark, store: Store, collections: Sequence[str], encoder: QueryEncoder
) -> tuple[IndexMode, ...]:
    """Ask all queries in every way.

    Args:
        benchmark: its corpus is what the collections hold.
        store: where the collections are.
        collections: their names.
        encoder: that the collections were made with.

    Raises:
        StoreError: the store failed.
    """
    vectors = encoder.encode_queries(list(benchmark.queries.values()))
    filters = benchmark.corpus.filters
    quantization = store.describe(collections[0]).metadata.storage.quantization
    index = "index" if quantization == "none" else f"{quantization} index"
    ways: dict[str, tuple[Filters | None, bool]] = {
        "exact": (filters, True),
        index: (None, False),
        f"{index}, filtered": (filters, False),
    }

    def ask(query: Vectors, condition: Filters | None, exact: bool) -> list[ScoredPoint]:
        """As a search in several languages does."""
        found: list[ScoredPoint] = []
        for name in collections:
            [hits] = store.query(name, query, limit=DEPTH, filters=condition, exact=exact)
            found += hits
        return sorted(found, key=lambda hit: (-hit.score, hit.id))[:DEPTH]

    # The first query of a process opens the collections.
    ask(vectors[:1], None, False)
    found: list[IndexMode] = []
    exact: list[list[str]] = []
    for mode, (condition, is_exact) in ways.items():
        rankings, seconds = [], []
        for row in range(len(vectors)):
            started = time.perf_counter()
            hits = ask(vectors[row : row + 1], condition, is_exact)
            seconds.append(time.perf_counter() - started)
            rankings.append(_doc_ids(hits))
        exact = exact or rankings
        found.append(
            IndexMode(
                mode,
                {str(depth): _recall(rankings, exact, depth) for depth in _RECALL_DEPTHS},
                _map(benchmark, rankings),
                {str(q): float(np.percentile(seconds, q)) * 1000 for q in _QUANTILES},
            )
        )
    return tuple(found)


def _doc_ids(hits: Sequence[ScoredPoint]) -> list[str]:
    return [hit.payload["doc_id"] for hit in hits]


def _recall(rankings: list[list[str]], exact: list[list[str]], depth: int) -> float:
    return fmean(
        len(set(mine[:depth]).intersection(best[:depth])) / len(best[:depth])
        for mine, best in zip(rankings, exact, strict=True)
    )


def _map(benchmark: Benchmark, rankings: list[list[str]]) -> float:
    ranked = dict(zip(benchmark.queries, rankings, strict=True))
    return fmean(
        score_ranking(ranked[q_id], judged)["MAP"] for q_id, judged in benchmark.qrels.items()
    )
