"""Time and memory on MELO deu_q_de_c_en, 1,779 queries x 33,606 documents, at full depth."""

import tempfile
from dataclasses import replace
from itertools import islice

from benchmarks.common import MELO, figure, peak_memory_gb, report, seconds
from eval.benchmarks.melo import load_melo
from eval.run import evaluate
from eval.systems import VectorSearch
from jobsearch.models import load_encoder
from jobsearch.store import open_store

[benchmark] = load_melo(MELO / "deu_q_de_c_en")
encoder = load_encoder("builtin", "pretrained")
with tempfile.TemporaryDirectory() as folder:
    store = open_store(folder)
    system = VectorSearch(store, encoder)

    def part(size: int):
        queries = dict(islice(benchmark.queries.items(), size))
        judged = {q_id: benchmark.qrels[q_id] for q_id in queries if q_id in benchmark.qrels}
        return replace(benchmark, queries=queries, qrels=judged)

    evaluate(part(10), system)  # ingests the corpus
    sizes = [len(benchmark.queries) // n for n in (4, 2, 1)]
    durations_s = [seconds(lambda s=s: evaluate(part(s), system)) for s in sizes]
    peak = peak_memory_gb()
detail = ", ".join(f"{size:,}: {s:.1f} s" for size, s in zip(sizes, durations_s, strict=True))
report(
    figure("MELO de-en, full depth, after ingest", durations_s[-1], "s", "at most", 30, detail),
    figure(
        "its time over that of half the queries", durations_s[-1] / durations_s[-2], "x",
        "at most", 2.2, "2 is linear",
    ),
    figure("its peak memory", peak, "GB", "at most", 2, "with the ingest"),
)  # fmt: skip
