"""Peak memory of ingesting ESCO en + es + de into an embedded store, in its own process."""

import tempfile

from benchmarks.common import ESCO, LANGUAGES, figure, peak_memory_gb, report
from ingest.pipeline import ingest
from ingest.sources import EscoSource
from jobsearch.models import load_encoder
from jobsearch.store import open_store

encoder = load_encoder("builtin", "pretrained")
with tempfile.TemporaryDirectory() as folder:
    store = open_store(folder)
    points = sum(ingest(EscoSource(ESCO), lang, store, encoder).points for lang in LANGUAGES)
    peak = peak_memory_gb()
report(
    figure(
        "peak memory of an ingest", peak, "GB", "at most", 1.5,
        f"{points:,} points, with the process of the engine",
    ),
)  # fmt: skip
