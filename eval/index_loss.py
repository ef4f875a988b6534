"""What the live index loses against an exact search, apart from what the model loses.

Every query is asked as a search would ask it, one at a time, of the collection as it is: exactly,
through the index, and through the index with the filters of a search.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from eval.benchmarks import Benchmark
from eval.metrics import score_ranking
from jobsearch.models.encoder import TitleEncoder
from jobsearch.store import ScoredPoint, Store
from jobsearch.types import Filters

#: Documents that are asked for.
DEPTH = 100
_RECALL_DEPTHS = (10, 100)
_QUANTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class IndexMode:
    """One way to ask the collection.

    Args:
        mode: ``exact``, ``index`` or ``index, filtered``.
        recall: depth -> share of the documents of the exact search down to that depth that are
            found, mean over the queries.
        map_at_depth: MAP of rankings of ``DEPTH`` documents.
        milliseconds: percentile -> time of one query in the store.
    """

    mode: str
    recall: dict[str, float]
    map_at_depth: float
    milliseconds: dict[str, float]


def measure_index(
    benchmark: Benchmark, store: Store, collection: str, encoder: TitleEncoder
) -> tuple[IndexMode, ...]:
    """Ask all queries in every way.

    Args:
        benchmark: its corpus is what the collection holds.
        store: where the collection is.
        collection: its name.
        encoder: that the collection was made with.

    Raises:
        StoreError: the store failed.
    """
    vectors = encoder.encode_queries(list(benchmark.queries.values()))
    corpus = benchmark.corpus
    filters = Filters(
        languages=(benchmark.corpus_language,),
        sources=(corpus.name,),
        splits=(corpus.split,) if corpus.split else (),
    )
    ways: dict[str, tuple[Filters | None, bool]] = {
        "exact": (filters, True),
        "index": (None, False),
        "index, filtered": (filters, False),
    }
    # The first query of a process opens the collection.
    store.query(collection, vectors[:1], limit=DEPTH)
    found: list[IndexMode] = []
    exact: list[list[str]] = []
    for mode, (condition, is_exact) in ways.items():
        rankings, seconds = [], []
        for row in range(len(vectors)):
            started = time.perf_counter()
            [hits] = store.query(
                collection, vectors[row : row + 1], limit=DEPTH, filters=condition, exact=is_exact
            )
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
