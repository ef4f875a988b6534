"""Properties of a benchmark that affect the figures of every system."""

from collections import Counter
from statistics import fmean

from eval.benchmarks.base import Benchmark
from eval.results import BenchmarkFacts
from jobsearch.text import fold_title

#: Usual depths of submitted runs, for which the highest possible MAP is computed.
RUN_DEPTHS = (10, 100)


def copies_of_queries(benchmark: Benchmark) -> dict[str, frozenset[str]]:
    """Query id -> ids of the documents with the same title, case aside.

    Queries without such documents are left out.
    """
    ids_of_title: dict[str, set[str]] = {}
    for doc_id, title in benchmark.documents.items():
        ids_of_title.setdefault(fold_title(title), set()).add(doc_id)
    copies = (
        (q_id, ids_of_title.get(fold_title(title))) for q_id, title in benchmark.queries.items()
    )
    return {q_id: frozenset(doc_ids) for q_id, doc_ids in copies if doc_ids}


def facts_of(benchmark: Benchmark) -> BenchmarkFacts:
    """Compute the facts of a benchmark from its queries, documents and judgements."""
    copies = copies_of_queries(benchmark)
    title_counts = Counter(map(fold_title, benchmark.documents.values()))
    return BenchmarkFacts(
        copies=len(copies),
        copies_not_relevant=sum(
            not any(benchmark.qrels[q_id].get(doc_id, 0) > 0 for doc_id in documents)
            for q_id, documents in copies.items()
            if q_id in benchmark.qrels
        ),
        repeated_titles=sum(count > 1 for count in title_counts.values()),
        contradictions=_contradictions(benchmark, title_counts),
        random_map=_random_map(benchmark),
        best_map={str(depth): _best_map(benchmark, depth) for depth in RUN_DEPTHS},
    )


def _contradictions(benchmark: Benchmark, title_counts: Counter[str]) -> int:
    """Pairs of a query and a title with relevant documents and others.

    An unjudged document counts as not relevant, as it does in the metrics.
    """
    total = 0
    for judged in benchmark.qrels.values():
        relevant = Counter(
            fold_title(benchmark.documents[doc_id]) for doc_id, value in judged.items() if value > 0
        )
        total += sum(title_counts[title] > count for title, count in relevant.items())
    return total


def _relevant_counts(benchmark: Benchmark) -> list[int]:
    return [sum(value > 0 for value in judged.values()) for judged in benchmark.qrels.values()]


def _random_map(benchmark: Benchmark) -> float:
    """Mean of the expected average precision of a random ranking.

    With R of N documents relevant it is (R - 1) / (N - 1) * (1 - H / N) + H / N, where H is the
    N-th harmonic number (Bestgen, "Exact expected average precision of the random baseline for
    system evaluation", Prague Bulletin of Mathematical Linguistics 103, 2015).
    """
    size = len(benchmark.documents)
    share = sum(1 / rank for rank in range(1, size + 1)) / size
    spread = max(1, size - 1)
    return fmean(
        (count - 1) / spread * (1 - share) + share if count else 0.0
        for count in _relevant_counts(benchmark)
    )


def _best_map(benchmark: Benchmark, depth: int) -> float:
    """MAP of a run of this depth that ranks relevant documents first."""
    return fmean(min(1.0, depth / count) if count else 0.0 for count in _relevant_counts(benchmark))
