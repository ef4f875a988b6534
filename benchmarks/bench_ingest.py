"""Time of ingesting ESCO en + es + de into an embedded store, over that of encoding alone."""

import tempfile
import time

from benchmarks.common import ESCO, LANGUAGES, distinct_titles, figure, report, seconds
from ingest.pipeline import ingest
from ingest.sources import EscoSource
from jobsearch.models import load_encoder
from jobsearch.store import open_store

encoder = load_encoder("builtin", "pretrained")
texts = distinct_titles()
encoder.network.encode(texts[:500], batch_size=128)
halves = texts[::2], texts[1::2]
# Half of the texts are encoded before and half after, so that a drifting machine cancels out.
encode_s = seconds(lambda: encoder.network.encode(halves[0], batch_size=128))
with tempfile.TemporaryDirectory() as folder:
    store = open_store(folder)
    start = time.perf_counter()
    summaries = [ingest(EscoSource(ESCO), lang, store, encoder) for lang in LANGUAGES]
    ingest_s = time.perf_counter() - start
encode_s += seconds(lambda: encoder.network.encode(halves[1], batch_size=128))
points = sum(summary.points for summary in summaries)
report(
    figure(
        "ingest over bare encoding", ingest_s / encode_s, "x", "at most", 1.3,
        f"{ingest_s:.1f} s for {points:,} points, {encode_s:.1f} s for {len(texts):,} distinct "
        "texts",
    ),
)  # fmt: skip
