"""Ingests that are killed: what is searched meanwhile, and what the next ingest makes of it.

    make kills            (python -m benchmarks.kills [KILLS]; needs an ESCO export: ESCO=path)

The English titles of ESCO are ingested into an embedded store, again and again, by a process that
gets SIGKILL at a random moment. After each kill the alias must answer like the last complete build:
the same ten hits for 100 queries. Then the ingest is run again, to its end, with the cache of
embeddings that the killed one left, and the new build must have the same ids, each once, and the
same hits as that of an ingest that nobody disturbed. Every fourth time the cache is empty at first,
so that kills strike the embedding as well as the storing. Ctrl-C ends it with the figures so far.
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

WHAT = (
    "killed before their end", "points lost", "points doubled", "other answers",
    "unfinished builds answered", "builds left over",
)  # fmt: skip

Hits = list[list[tuple[str, str]]]


def run(folder: Path, encoder: Encoder) -> None:
    """One whole ingest."""
    with (
        closing(EmbeddingCache(folder / "cache")) as cache,
        closing(open_store(str(folder / "store"))) as store,
    ):
        ingest(EscoSource(ESCO), "en", store, CachedEncoder(encoder, cache), force=True)


def in_a_process(folder: Path, encoder: Encoder, kill_after_s: float | None) -> bool:
    """An ingest in a process of its own; returns whether it was killed before its end."""
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            run(folder, encoder)
            failed = 0
        finally:
            os._exit(failed)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("an ingest failed that was not killed")
    return os.WIFSIGNALED(status)


def answers(store: Store, alias: str, vectors: object) -> Hits:
    """Ids and titles of the hits, without the build that they come from."""
    found = store.query(alias, vectors, limit=DEPTH)  # type: ignore[arg-type]
    return [[(hit.id, hit.payload["title"]) for hit in hits] for hits in found]


def main(kills: int) -> None:
    # A process that is forked from one with threads of torch hangs.
    torch.set_num_threads(1)
    encoder = load_encoder("builtin", "pretrained")
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        in_a_process(folder, encoder, None)
        cold_s = time.monotonic() - started
        started = time.monotonic()
        in_a_process(folder, encoder, None)
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
                struck = in_a_process(folder, encoder, delay)
                with closing(open_store(str(folder / "store"))) as store:
                    now = store.describe(alias)
                    unfinished = now.name != before and now.metadata.status != "ready"
                    other_hits = answers(store, alias, vectors) != expected
                in_a_process(folder, encoder, None)
                with closing(open_store(str(folder / "store"))) as store:
                    found = Counter(i for points in store.scroll(alias) for i in points.ids)
                    count["points lost"] += len(ids - found)
                    count["points doubled"] += len(found - ids)
                    other_hits += answers(store, alias, vectors) != expected
                    count["builds left over"] += len(store.collections()) > 2
                count["ingests"] += 1
                count["killed before their end"] += struck
                count["other answers"] += other_hits
                count["unfinished builds answered"] += unfinished
                if (number + 1) % 20 == 0:
                    print(dict(count), file=sys.stderr, flush=True)
        print(
            f"{count['ingests']} ingests of {len(ids):,} titles, each {cold_s:.1f} s undisturbed, "
            f"{warm_s:.1f} s from the cache"
        )
        wrong = 0
        for what in WHAT:
            print(f"{what}: {count[what]}")
            wrong += count[what] if what in WHAT[1:] else 0
        if wrong:
            raise SystemExit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
