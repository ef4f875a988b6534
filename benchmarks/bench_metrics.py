"""Scoring a run of 10,000 queries x 1,000 documents, against ranx from the same rankings."""

import time
import warnings

import numpy as np

from benchmarks.common import figure, report
from eval.metrics import score

warnings.filterwarnings("ignore")
import ranx  # noqa: E402

QUERIES, DEPTH, RELEVANT = 10_000, 1_000, 20
METRICS = ["map", "mrr", "ndcg", "precision@5", "precision@10", "precision@100", "recall@100"]

rng = np.random.default_rng(0)
documents = [f"d{n}" for n in range(DEPTH)]
run, qrels = {}, {}
for n in range(QUERIES):
    order = rng.permutation(DEPTH).tolist()
    run[f"q{n}"] = [(documents[place], 1.0 - rank / DEPTH) for rank, place in enumerate(order)]
    relevant = rng.choice(DEPTH, RELEVANT, replace=False).tolist()
    qrels[f"q{n}"] = {documents[place]: 1 for place in relevant}


def theirs(part: int) -> dict[str, float]:
    some = list(run)[:part]
    return ranx.evaluate(
        ranx.Qrels({q: qrels[q] for q in some}), ranx.Run({q: dict(run[q]) for q in some}), METRICS
    )


theirs(100)  # compiles
score({"q0": run["q0"]}, {"q0": qrels["q0"]})
started = time.perf_counter()
ours = score(run, qrels).means
ours_s = time.perf_counter() - started
started = time.perf_counter()
reference = theirs(QUERIES)
theirs_s = time.perf_counter() - started
assert abs(ours["MAP"] - reference["map"]) < 1e-6
assert abs(ours["MRR"] - reference["mrr"]) < 1e-6
report(
    figure(
        "scoring a run over ranx", ours_s / theirs_s, "x", "at most", 1,
        f"{ours_s:.1f} s against {theirs_s:.1f} s, {QUERIES:,} x {DEPTH:,}",
    ),
)  # fmt: skip
