"""Time of scoring a run of 10,000 queries x 1,000 documents, compared with ranx."""

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


def ranx_scores(queries: int) -> dict[str, float]:
    some = list(run)[:queries]
    return ranx.evaluate(
        ranx.Qrels({q: qrels[q] for q in some}), ranx.Run({q: dict(run[q]) for q in some}), METRICS
    )


ranx_scores(100)  # compiles ranx
score({"q0": run["q0"]}, {"q0": qrels["q0"]})
started = time.perf_counter()
means = score(run, qrels).means
our_s = time.perf_counter() - started
started = time.perf_counter()
reference = ranx_scores(QUERIES)
ranx_s = time.perf_counter() - started
assert abs(means["MAP"] - reference["map"]) < 1e-6
assert abs(means["MRR"] - reference["mrr"]) < 1e-6
report(
    figure(
        "scoring a run over ranx", our_s / ranx_s, "x", "at most", 1,
        f"{our_s:.1f} s against {ranx_s:.1f} s, {QUERIES:,} x {DEPTH:,}",
    ),
)  # fmt: skip
