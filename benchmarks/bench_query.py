"""Latency of queries on the English ESCO collection, and of whole searches."""

import tempfile

import numpy as np

from benchmarks.common import ESCO, distinct_titles, figure, milliseconds, report, seconds
from ingest.pipeline import ingest
from ingest.sources import EscoSource
from jobsearch.models import load_encoder
from jobsearch.search import SearchEngine
from jobsearch.store import open_store
from jobsearch.types import Filters

encoder = load_encoder("builtin", "pretrained")
queries = distinct_titles(("de",))[::30][:500]
vectors = encoder.encode_queries(queries)
major_groups = [Filters(isco=(digit,)) for digit in "123456789"]
with tempfile.TemporaryDirectory() as folder:
    store = open_store(folder)
    summary = ingest(EscoSource(ESCO), "en", store, encoder)
    name = summary.collection
    filtered = milliseconds(
        lambda i: store.query(name, vectors[i : i + 1], limit=10, filters=major_groups[i % 9]), 500
    )
    plain = milliseconds(lambda i: store.query(name, vectors[i : i + 1], limit=10), 500)
    engine = SearchEngine(store, "builtin", lambda _variant: encoder)
    warm = milliseconds(
        lambda i: engine.search(queries[i], to=["en"], filters=major_groups[i % 9]), 500
    )
    many = distinct_titles(("de",))[::15][:1000]
    single_s = seconds(lambda: [engine.search(title, to="en") for title in many])
    together_s = seconds(lambda: engine.search_many(many, to="en"))
detail = f"{summary.total_points:,} points, 500 queries"
report(
    figure("store, filtered top 10, median", np.median(filtered), "ms", "at most", 5, detail),
    figure("store, filtered top 10, p99", np.quantile(filtered, 0.99), "ms", "at most", 20, detail),
    figure(
        "store, unfiltered top 10, median", np.median(plain), "ms", "at most", 15, "exact scan"
    ),
    figure(
        "warm search with encoding, median", np.median(warm), "ms", "at most", 15,
        f"p99 {np.quantile(warm, 0.99):.1f} ms",
    ),
    figure(
        "many searches at once over single ones", single_s / together_s, "x", "at least", 8,
        f"{len(many):,} titles, {together_s:.2f} s and {single_s:.2f} s",
    ),
)  # fmt: skip
