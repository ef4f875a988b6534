"""What the figures of a benchmark hide: copies, contradictions, and what no run can do."""

from collections import Counter
from statistics import fmean

from eval.benchmarks.base import Benchmark
from eval.results import BenchmarkFacts
from jobsearch.text import fold_title

#: Depths of runs that people submit: what each caps MAP at.
RUN_DEPTHS = (10, 100)


def copies_of_queries(benchmark: Benchmark) -> dict[str, frozenset[str]]:
    """Query id -> the documents whose title is the query word for word, case aside.

    Only queries that have such documents are listed.
    """
    holders: dict[str, set[str]] = {}
    for doc_id, title in benchmark.documents.items():
        holders.setdefault(fold_title(title), set()).add(doc_id)
    found = ((q_id, holders.get(fold_title(title))) for q_id, title in benchmark.queries.items())
    return {q_id: frozenset(documents) for q_id, documents in found if documents}


def facts_of(benchmark: Benchmark) -> BenchmarkFacts:
    """Look at queries, documents and judgements."""
    copies = copies_of_queries(benchmark)
    times = Counter(map(fold_title, benchmark.documents.values()))
    return BenchmarkFacts(
        copies=len(copies),
        copies_not_relevant=sum(
            not any(benchmark.qrels[q_id].get(doc_id, 0) > 0 for doc_id in documents)
            for q_id, documents in copies.items()
            if q_id in benchmark.qrels
        ),
        repeated_titles=sum(count > 1 for count in times.values()),
        contradictions=_contradictions(benchmark, times),
        random_map=_random_map(benchmark),
        best_map={str(depth): _best_map(benchmark, depth) for depth in RUN_DEPTHS},
    )


def _contradictions(benchmark: Benchmark, times: Counter[str]) -> int:
    """An unjudged document counts as not relevant, as the metrics take it."""
    found = 0
    for judged in benchmark.qrels.values():
        relevant = Counter(
            fold_title(benchmark.documents[doc_id]) for doc_id, value in judged.items() if value > 0
        )
        found += sum(times[title] > count for title, count in relevant.items())
    return found


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
    """MAP of a run of that depth in which relevant documents come first."""
    return fmean(min(1.0, depth / count) if count else 0.0 for count in _relevant_counts(benchmark))
