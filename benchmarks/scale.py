"""The embedded engine with 10 thousand to a million titles, compared with numpy and faiss.

    make bench-scale      (python -m benchmarks.scale [COUNT …]; needs an ESCO export: ESCO=path)

English ESCO labels, each combined with many places ("registered nurse, Aberdeen") and encoded by
the built-in model, are stored as by an ingest. Up to 50,000 titles the store scans; beyond that it
has an index. Queries are German labels. numpy and faiss get the same vectors in the same run: numpy
scans (matrix product, then the best ten), faiss uses HNSW with Qdrant's default parameters (16
links, 100 candidates for building and searching); neither has payloads or filters. Latency is
measured one query at a time, recall against the exact neighbours.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import faiss
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.common import ESCO, milliseconds, seconds
from ingest.build import new_metadata
from ingest.sources import EscoSource
from jobsearch.models import load_encoder
from jobsearch.models.encoder import CHUNK_SIZE
from jobsearch.store import PointBatch, open_store
from jobsearch.store.metadata import build_name
from jobsearch.types import Filters, SourceInfo, TitleRecord
from jobsearch.vectors import Vectors

COUNTS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
QUERIES = 200
DEPTH = 10
#: A major group, a fifth of the titles, for which the index must examine more candidates.
FILTERS = Filters(isco=("2",), kinds=("preferred", "alternative"))
PLACES = """
    Aberdeen Bath Cardiff Derby Exeter Fife Glasgow Hull Ipswich Jarrow Kent Leeds Moray Norwich
    Oxford Perth Quorn Rugby Surrey Truro Ulster Verwood Wigan Yeovil Zennor Antrim Bolton Crewe
    Dover Epsom Frome
"""


def records(language: str) -> list[TitleRecord]:
    rows = EscoSource(ESCO).rows(language)
    return [record for row in rows for record in row.records]


def multiplied(titles: list[TitleRecord], count: int) -> list[TitleRecord]:
    """The first ``count`` combinations of a title and a place, in random order."""
    pairs = [(title, place) for place in PLACES.split() for title in titles]
    random.Random(0).shuffle(pairs)
    made = (replace(title, title=f"{title.title}, {place}") for title, place in pairs)
    # A concept may have two labels that differ only in case, which have the same point id.
    distinct = {record.point_id: record for record in islice(made, count + count // 100)}
    return list(distinct.values())[:count]


def encoded(texts: list[str], folder: Path) -> Vectors:
    """The vectors of all texts, in a memory-mapped file."""
    encoder = load_encoder("builtin", "finetuned")
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", "w+", np.float32, (len(texts), encoder.info.dim)
    )
    # Batches of similar length, as in an ingest.
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    starts = range(0, len(order), CHUNK_SIZE)
    chunks = [order[start : start + CHUNK_SIZE] for start in starts]
    batches = ([texts[place] for place in chunk] for chunk in chunks)
    with closing(encoder.encode_document_batches(batches)) as encoded_chunks:
        bar = tqdm(zip(chunks, encoded_chunks, strict=True), total=len(chunks), disable=None)
        for chunk, rows in bar:
            vectors[chunk] = rows
    return vectors


def batches(titles: list[TitleRecord], vectors: Vectors) -> Iterator[PointBatch]:
    for start in range(0, len(vectors), CHUNK_SIZE):
        chunk = titles[start : start + CHUNK_SIZE]
        yield PointBatch(
            [title.point_id for title in chunk],
            np.array(vectors[start : start + CHUNK_SIZE]),
            [title.payload("run") for title in chunk],
        )


def recall(found: list[list[str]], exact: list[list[str]]) -> float:
    shares = [len({*a} & {*b}) / len(b) for a, b in zip(found, exact, strict=True)]
    return float(np.mean(shares))


def resident_mb(path: Path, vectors_file: Path) -> float:
    """Memory added to a process by opening the store and running all queries."""
    script = (
        "import sys, numpy as np; from jobsearch.store import open_store\n"
        "store, queries = open_store(sys.argv[1]), np.load(sys.argv[2])\n"
        "before = open('/proc/self/status').read()\n"
        "[alias] = store.aliases()\n"
        "for row in range(len(queries)): store.query(alias, queries[row:row+1], limit=10)\n"
        "after = open('/proc/self/status').read()\n"
        "kb = [int(s.split('VmRSS:')[1].split()[0]) for s in (before, after)]\n"
        "print(kb[1] - kb[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(vectors_file)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return int(done.stdout) / 1024


def allocated_mb(path: Path) -> float:
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_blocks * 512 for file in files) / (1 << 20)


def measure(titles: list[TitleRecord], vectors: Vectors, queries: Vectors, folder: Path) -> dict:
    encoder = load_encoder("builtin", "finetuned").info
    count = len(vectors)
    source = SourceInfo("esco", "", "", "0" * 64, count)
    plan = new_metadata("en", encoder, (source,))
    alias = "jobs__en__builtin__finetuned"
    path = folder / str(count)
    with closing(open_store(str(path))) as store:
        name = build_name(alias, encoder)
        with store.build_lock(alias):
            store.create(name, plan)
            load_s = seconds(
                lambda: [store.upsert(name, batch) for batch in batches(titles, vectors)]
            )
            build_s = seconds(lambda: store.finish(name, replace(plan, expected_points=count)))
            store.swap_alias(alias, name, expected=None)

        def search(row: int, filters: Filters | None = None, *, exact: bool = False) -> list[str]:
            query = queries[row : row + 1]
            [hits] = store.query(name, query, limit=DEPTH, filters=filters, exact=exact)
            return [hit.id for hit in hits]

        def search_all(**options) -> tuple[np.ndarray, list[list[str]]]:
            times = milliseconds(lambda row: search(row, **options), QUERIES)
            return times, [search(row, **options) for row in range(QUERIES)]

        plain, found = search_all()
        _, exact = search_all(exact=True)
        filtered, found_filtered = search_all(filters=FILTERS)
        _, exact_filtered = search_all(filters=FILTERS, exact=True)
    return {
        "titles": count,
        "load /s": count / load_s,
        "build s": build_s,
        "memory MB": resident_mb(path, folder / "queries.npy"),
        "disk MB": allocated_mb(path),
        "p50 ms": np.percentile(plain, 50),
        "p99 ms": np.percentile(plain, 99),
        "recall@10": recall(found, exact),
        "filtered p50 ms": np.percentile(filtered, 50),
        "filtered p99 ms": np.percentile(filtered, 99),
        "filtered recall@10": recall(found_filtered, exact_filtered),
        **peers(np.array(vectors), queries),
    }


def peers(vectors: Vectors, queries: Vectors) -> dict:
    def scan(row: int) -> list[int]:
        scores = vectors @ queries[row]
        best = np.argpartition(-scores, DEPTH)[:DEPTH]
        return best[np.argsort(-scores[best])].tolist()

    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = index.hnsw.efSearch = 100
    build_s = seconds(lambda: index.add(vectors))
    faiss.omp_set_num_threads(1)
    numpy_ms = milliseconds(scan, QUERIES)
    faiss_ms = milliseconds(lambda row: index.search(queries[row : row + 1], DEPTH), QUERIES)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    exact = [list(map(str, scan(row))) for row in range(QUERIES)]
    _, found = index.search(queries, DEPTH)
    return {
        "numpy p50 ms": np.percentile(numpy_ms, 50),
        "faiss build s": build_s,
        "faiss p50 ms": np.percentile(faiss_ms, 50),
        "faiss p99 ms": np.percentile(faiss_ms, 99),
        "faiss recall@10": recall([list(map(str, row)) for row in found.tolist()], exact),
    }


def main(counts: tuple[int, ...]) -> None:
    titles = multiplied(records("en"), max(counts))
    assert len(titles) == max(counts)
    german = (record for record in records("de") if record.kind == "preferred")
    query_titles = [record.title for record in islice(german, QUERIES)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        queries = load_encoder("builtin", "finetuned").encode_queries(query_titles)
        np.save(folder / "queries.npy", queries)
        vectors = encoded([title.title for title in titles], folder)
        rows = []
        for count in counts:
            rows.append(measure(titles[:count], vectors[:count], queries, folder))
            print(json.dumps(rows[-1], default=float), file=sys.stderr)
    figures = list(rows[0])
    table = [(figure, *(_shown(row[figure]) for row in rows)) for figure in figures[1:]]
    headers = ("figure", *(f"{row['titles']:,}" for row in rows))
    print(tabulate(table, headers, tablefmt="github", disable_numparse=True))


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or COUNTS)
