"""Cost of many equal titles, as in job advertisements: builds, searches and checks of a collection.

Each row is a collection of 20,000 titles of random vectors, of which some are the same title with a
concept of its own. Runs in about a minute: ``python -m benchmarks.ties``
"""

import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing

import numpy as np
from tabulate import tabulate

from ingest.build import Builder, LiveCollection, new_metadata
from jobsearch.search import SearchEngine
from jobsearch.store import PointBatch, open_store
from jobsearch.types import EncoderInfo, SourceInfo, TitleRecord
from jobsearch.vectors import Vectors

TITLES, DIM, BATCH = 20_000, 512, 1000
ALIAS = "jobs__en__random__pretrained"


class RandomEncoder:
    """Random unit vectors, the same for the same text."""

    info = EncoderInfo("random", "pretrained", "random", "", "00", "11", DIM, "mean")

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (n, DIM)."""
        rows = {text: np.random.default_rng(list(text.encode())) for text in set(texts)}
        drawn = {text: random.standard_normal(DIM) for text, random in rows.items()}
        vectors = np.array([drawn[text] / np.linalg.norm(drawn[text]) for text in texts])
        return vectors.astype(np.float32)


def measure(tied: int) -> tuple[int, float, float, float, float]:
    """Seconds of a build, milliseconds of a search, seconds of a check, and peak memory in MB."""
    encoder = RandomEncoder()
    titles = ["same title"] * tied + [f"title {n}" for n in range(TITLES - tied)]
    records = [
        TitleRecord(title, "en", "own", "preferred", concept_id=f"concept {n}")
        for n, title in enumerate(titles)
    ]
    batches = [
        PointBatch(
            [record.point_id for record in records[start : start + BATCH]],
            encoder.encode_queries(titles[start : start + BATCH]),
            [record.payload("run") for record in records[start : start + BATCH]],
        )
        for start in range(0, TITLES, BATCH)
    ]
    plan = new_metadata("en", encoder.info, (SourceInfo("own", "", "1", "0", TITLES),))
    with tempfile.TemporaryDirectory() as folder, closing(open_store(folder)) as store:
        started = time.perf_counter()
        with store.build_lock(ALIAS):
            builder = Builder(store, ALIAS, LiveCollection(None), plan)
            builder.build(batches, TITLES, progress=False)
        built = time.perf_counter() - started
        engine = SearchEngine(store, "random", lambda _variant: encoder)
        searches = []
        for _ in range(20):
            started = time.perf_counter()
            engine.search("same title", top=10)
            searches.append(time.perf_counter() - started)
        started = time.perf_counter()
        store.verify(ALIAS)
        checked = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return tied, built, float(np.median(searches)) * 1000, checked, peak


print(
    tabulate(
        [measure(tied) for tied in (0, 300, 6000, TITLES)],
        headers=("equal titles", "build s", "search ms", "verify s", "peak MB"),
        floatfmt=("", ".1f", ".1f", ".1f", ".0f"),
    )
)
