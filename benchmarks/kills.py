"""Kills ingests at random moments and checks that no data are lost, doubled or wrong.

    make kills            (python -m benchmarks.kills [KILLS]; needs an ESCO export: ESCO=path)

A process ingests the English titles of ESCO into an embedded store, again and again, and gets
SIGKILL at a random moment. After each kill the alias must return the same ten hits for 100 queries
as the last complete build. Then an ingest runs to its end, with the embedding cache of the killed
process; the new build must have the same ids, each once, and the same hits as the build of an
undisturbed ingest. Every fourth time the cache starts empty, so that kills hit the encoding as well
as the storing. Ctrl-C stops and prints the figures so far.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import torch

from benchmarks.common import ESCO
from ingest.pipeline import ingest
from ingest.sources import EscoSource
from jobsearch.models import Encoder, load_encoder
from jobsearch.models.cache import EmbeddingCache
from jobsearch.models.cached import CachedEncoder
from jobsearch.store import Store, open_store

QUERIES = 100
DEPTH = 10

KILLED = "killed before their end"
#: Counts that must be 0.
FAULTS = (
    "points lost", "points doubled", "other answers", "unfinished builds answered",
    "builds left over",
)  # fmt: skip

Hits = list[list[tuple[str, str]]]


def ingest_titles(folder: Path, encoder: Encoder) -> None:
    """Ingest all titles."""
    with (
        closing(EmbeddingCache(folder / "cache")) as cache,
        closing(open_store(str(folder / "store"))) as store,
    ):
        ingest(EscoSource(ESCO), "en", store, CachedEncoder(encoder, cache), force=True)


def ingest_in_process(folder: Path, encoder: Encoder, kill_after_s: float | None) -> bool:
    """Ingest in a child process; return whether it was killed before its end."""
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            ingest_titles(folder, encoder)
            failed = 0
        finally:
            os._exit(failed)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("an ingest failed without being killed: see its error above")
    return os.WIFSIGNALED(status)


def answers(store: Store, alias: str, vectors: object) -> Hits:
    """Ids and titles of the hits of each query."""
    hits_per_query = store.query(alias, vectors, limit=DEPTH)  # type: ignore[arg-type]
    return [[(hit.id, hit.payload["title"]) for hit in hits] for hits in hits_per_query]


def main(kills: int) -> None:
    # A fork of a process in which torch has started threads hangs.
    torch.set_num_threads(1)
    encoder = load_encoder("builtin", "pretrained")
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        ingest_in_process(folder, encoder, None)
        cold_s = time.monotonic() - started
        started = time.monotonic()
        ingest_in_process(folder, encoder, None)
        warm_s = time.monotonic() - started
        with closing(open_store(str(folder / "store"))) as store:
            [alias] = store.aliases()
            ids = Counter(i for points in store.scroll(alias) for i in points.ids)
            titles = [p["title"] for points in store.scroll(alias) for p in points.payloads]
            vectors = encoder.encode_queries(draw.sample(titles, QUERIES))
            expected = answers(store, alias, vectors)
        assert max(ids.values()) == 1
        count = Counter[str]()
        with suppress(KeyboardInterrupt):
            for number in range(kills):
                if cold := number % 4 == 0:
                    shutil.rmtree(folder / "cache")
                with closing(open_store(str(folder / "store"))) as store:
                    before = store.aliases()[alias]
                delay = draw.uniform(0, cold_s if cold else warm_s)
                killed = ingest_in_process(folder, encoder, delay)
                with closing(open_store(str(folder / "store"))) as store:
                    now = store.describe(alias)
                    unfinished = now.name != before and now.metadata.status != "ready"
                    other_hits = answers(store, alias, vectors) != expected
                ingest_in_process(folder, encoder, None)
                with closing(open_store(str(folder / "store"))) as store:
                    stored = Counter(i for points in store.scroll(alias) for i in points.ids)
                    count["points lost"] += len(ids - stored)
                    count["points doubled"] += len(stored - ids)
                    other_hits += answers(store, alias, vectors) != expected
                    count["builds left over"] += len(store.collections()) > 2
                count["ingests"] += 1
                count[KILLED] += killed
                count["other answers"] += other_hits
                count["unfinished builds answered"] += unfinished
                if (number + 1) % 20 == 0:
                    print(dict(count), file=sys.stderr, flush=True)
        print(
            f"{count['ingests']} ingests of {len(ids):,} titles, each {cold_s:.1f} s undisturbed, "
            f"{warm_s:.1f} s from the cache"
        )
        for counted in (KILLED, *FAULTS):
            print(f"{counted}: {count[counted]}")
        if any(count[fault] for fault in FAULTS):
            raise SystemExit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
