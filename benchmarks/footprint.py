"""Bytes per title on disk and speed of the embedded engine: the constants of `jobsearch plan`.

    python -m benchmarks.footprint

English ESCO labels, encoded by the built-in model, are stored in the embedded engine, which builds
its graph of all of them. Bytes are measured on the second half of the titles, which excludes the
constant size of a collection. They count allocated blocks, because the files are sparse.
"""

import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from benchmarks.common import ESCO, seconds
from ingest.reading import read_source
from ingest.sources import EscoSource
from jobsearch.models import load_encoder
from jobsearch.store.embedded.shard import Shard
from jobsearch.store.protocol import PointBatch
from jobsearch.types import QUANTIZATIONS, Quantization, VectorStorage

RUN_ID = "20261123t101500123456_1a2b3c4d"
#: Start of a path in its segment -> contents of the file; the first match counts.
PARTS = {
    "vector_storage/quantized": "quantised vectors",
    "vector_storage": "vectors",
    "vector_index": "graph",
    "payload_storage": "payload",
    "payload_index": "indexes of fields",
    "id_tracker": "ids",
    "": "others",
}


def bytes_by_part(folder: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for segment in (folder / "segments").iterdir():
        for file in filter(Path.is_file, segment.rglob("*")):
            path = file.relative_to(segment).as_posix()
            part = next(part for start, part in PARTS.items() if path.startswith(start))
            sizes[part] += file.stat().st_blocks * 512
    return sizes


def first(points: PointBatch, count: int) -> PointBatch:
    return PointBatch(points.ids[:count], points.vectors[:count], points.payloads[:count])


def store(points: PointBatch, kind: Quantization) -> tuple[Counter[str], float, float]:
    """Bytes per part, seconds to store the points, seconds to build the graph."""
    with tempfile.TemporaryDirectory() as folder:
        path, dim = Path(folder, "shard"), points.vectors.shape[1]
        shard = Shard(path, dim, exact_up_to=0, storage=VectorStorage(kind), new=True)
        upsert_s = seconds(lambda: shard.upsert(points))
        seal_s = seconds(shard.seal)
        return bytes_by_part(path), upsert_s, seal_s


def main() -> None:
    tracemalloc.start()
    reading = read_source(EscoSource(ESCO), ["en"], max_rejects=0.01, rejects_path=None)["en"]
    read_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    records, texts = reading.records, reading.texts
    points = PointBatch(
        [record.point_id for record in records],
        load_encoder("builtin", "finetuned").encode_documents(texts),
        [record.payload(RUN_ID) for record in records],
    )
    half = len(points) // 2
    columns: dict[str, Counter[str]] = {}
    rates = []
    for kind in QUANTIZATIONS:
        small, *_ = store(first(points, half), kind)
        large, upsert_s, seal_s = store(points, kind)
        added = len(points) - half
        columns[kind] = Counter({part: (large[part] - small[part]) / added for part in large})
        rates.append((kind, len(points) / upsert_s, len(points) / seal_s))
    print(f"{len(points):,} titles; read into memory: {read_bytes / len(points):,.0f} bytes each\n")
    rows = [(part, *(columns[kind][part] for kind in QUANTIZATIONS)) for part in PARTS.values()]
    headers = ("bytes a title", *QUANTIZATIONS)
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".0f"), "\n")
    headers = ("points/s", "taken in", "graph built")
    print(tabulate(rates, headers, tablefmt="github", floatfmt=",.0f"))


if __name__ == "__main__":
    main()
