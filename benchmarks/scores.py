"""Precision and recall by cosine: how many titles above a threshold name the same job.

    python -m benchmarks.scores

Measured on TalentCLEF's validation sets and on MELO, over all pairs of a query and a title of the
corpus except exact copies of the query. `search --min-score` uses such a threshold.
"""

import tempfile
from collections.abc import Iterator

import numpy as np
from tabulate import tabulate

from benchmarks.common import MELO, TALENTCLEF
from eval.benchmarks.base import Benchmark
from eval.benchmarks.melo import load_melo
from eval.benchmarks.talentclef import load_talentclef
from eval.diagnostics.facts import copies_of_queries
from eval.systems import VectorSearch
from jobsearch.models import load_encoder
from jobsearch.store import open_store

THRESHOLDS = (0.9, 0.8, 0.7, 0.6, 0.5)


def judged_scores(benchmark: Benchmark, system: VectorSearch) -> Iterator[tuple[np.ndarray, ...]]:
    """For each query: cosines of all titles except its copies, and whether each is relevant."""
    ranked = system.rank(benchmark, depth=None, progress=False)
    copies = copies_of_queries(benchmark)
    doc_ids = np.array(ranked.doc_ids)
    for q_id, ranking in zip(benchmark.queries, ranked.rankings, strict=True):
        judged = benchmark.qrels.get(q_id, {})
        relevant = [doc_id for doc_id, value in judged.items() if value > 0]
        is_other = ~np.isin(doc_ids[ranking.places], list(copies.get(q_id, ())))
        others = doc_ids[ranking.places[is_other]]
        yield ranking.scores[is_other], np.isin(others, relevant)


def rows(benchmark: Benchmark, system: VectorSearch) -> Iterator[tuple[str | float, ...]]:
    hits, relevant_hits, answered = (np.zeros(len(THRESHOLDS), dtype=int) for _ in range(3))
    queries = relevant = 0
    for scores, is_relevant in judged_scores(benchmark, system):
        passing = scores[:, None] >= THRESHOLDS
        hits += passing.sum(axis=0)
        relevant_hits += passing[is_relevant].sum(axis=0)
        answered += passing.any(axis=0)
        queries += 1
        relevant += int(is_relevant.sum())
    name = benchmark.split if benchmark.name == "melo" else benchmark.pair
    for place, threshold in enumerate(THRESHOLDS):
        precision = relevant_hits[place] / hits[place] if hits[place] else float("nan")
        recall = relevant_hits[place] / relevant
        yield (
            name, system.variant, threshold, precision, recall, answered[place] / queries,
            hits[place] / queries,
        )  # fmt: skip


if __name__ == "__main__":
    benchmarks = [
        *load_talentclef(TALENTCLEF),
        *load_melo(MELO, set_name="deu_q_de_c_en"),
        *load_melo(MELO, set_name="esp_q_es_c_en"),
    ]
    table = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        for variant in ("pretrained", "finetuned"):
            system = VectorSearch(store, load_encoder("builtin", variant))
            for benchmark in benchmarks:
                table += rows(benchmark, system)
    headers = (
        "set", "variant", "cosine from", "precision", "recall", "queries with a hit",
        "hits per query",
    )  # fmt: skip
    print(
        tabulate(
            table, headers, floatfmt=("", "", ".1f", ".3f", ".3f", ".3f", ".1f"), tablefmt="github"
        )
    )
