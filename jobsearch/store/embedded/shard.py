"""One collection in the embedded engine: the only module that knows ``qdrant_edge``."""

import os
import shutil
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import qdrant_edge as edge

from jobsearch.errors import StoreError
from jobsearch.store.embedded.engine_files import SEGMENTS, may_only_be_read, writable_copy
from jobsearch.store.protocol import PointBatch, ScoredPoint
from jobsearch.store.ranking import (
    FILTERED_EF,
    HNSW_EF_CONSTRUCT,
    HNSW_M,
    OVERSAMPLING,
    cosine,
    engine_filter,
    full_scan_kilobytes,
)
from jobsearch.types import FILTER_FIELDS, Filters, Quantization, VectorStorage
from jobsearch.vectors import Vectors

#: Written anew by the engine at every load, so it is neither sealed nor trusted.
_CONFIG_FILE = "edge_config.json"
# Far more than that takes, with its folder.
_CONFIG_BYTES = 1 << 20

# Points at a time, read or written: those of the engine take several times their data.
_POINTS = 1000


@contextmanager
def _engine_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # The engine raises plain exceptions, and panics, whose class cannot be imported.
        if type(error) is Exception or type(error).__name__ == "PanicException":
            reason = " ".join(str(error).split())
            raise StoreError(
                f"{doing} failed in the embedded engine ({reason}): ingest the titles again"
            ) from error
        raise


def _edge_quantization(kind: Quantization) -> Any:
    """What the index compares at first is kept in memory."""
    if kind == "int8":
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
    return edge.BinaryQuantizationConfig(always_ram=True) if kind == "binary" else None


class Shard:
    """An open collection of unit vectors of ``dim`` dimensions in the folder ``path``.

    Args:
        path: its folder.
        dim: length of the vectors.
        exact_up_to: number of points up to which no index is built: queries on so few compare
            with all of them, which takes a few milliseconds and loses nothing.
        storage: how the vectors are kept.
        new: make it; otherwise load what is there.
    """

    def __init__(
        self,
        path: Path,
        dim: int,
        *,
        exact_up_to: int,
        storage: VectorStorage = VectorStorage(),
        new: bool,
    ) -> None:
        self.path = path
        self.dim = dim
        self._row = struct.Struct(f"={dim}f")
        self._config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(
                size=dim,
                distance=edge.Distance.Cosine,
                quantization_config=_edge_quantization(storage.quantization),
                hnsw_config=edge.HnswIndexConfig(
                    HNSW_M, HNSW_EF_CONSTRUCT, full_scan_kilobytes(dim)
                ),
            ),
            # Without a log points last once they are flushed: a build is finished or thrown away.
            # It also lets several processes read the same files, and none of them changes one.
            wal_enabled=False,
            optimizers=edge.EdgeOptimizersConfig(
                indexing_threshold=exact_up_to * dim * 4 // 1024 + 1, default_segment_number=1
            ),
        )
        with _engine_errors(f"opening {path}"):
            if new:
                path.mkdir(parents=True)
                self._shard = edge.EdgeShard.create(str(path), self._config)
                for field in FILTER_FIELDS:
                    self._update(
                        edge.UpdateOperation.create_field_index(
                            field, edge.PayloadSchemaType.Keyword
                        )
                    )
            else:
                self._shard = self._load()

    def _load(self) -> edge.EdgeShard:
        """Load the files through a folder of this reader's own.

        The engine writes its configuration where it loads from, so readers of one folder would have
        to wait for one another; all else it only reads. The folder is beside the files, and in the
        system's for temporary ones where that disk is full or that place may only be read. Files
        that may only be read are copied there, since the engine opens them to write.
        """
        if may_only_be_read(self.path / SEGMENTS):
            with writable_copy(self.path / SEGMENTS) as copy:
                return edge.EdgeShard.load(str(copy), self._config)
        beside = self.path.parent
        try:
            return self._load_through(beside)
        except Exception:
            if os.access(beside, os.W_OK) and shutil.disk_usage(beside).free >= _CONFIG_BYTES:
                raise
        return self._load_through(Path(gettempdir()))

    def _load_through(self, place: Path) -> edge.EdgeShard:
        with TemporaryDirectory(prefix="load-", dir=place) as own:
            (Path(own) / SEGMENTS).symlink_to(self.path.absolute() / SEGMENTS)
            return edge.EdgeShard.load(own, self._config)

    def _update(self, operation: edge.UpdateOperation) -> None:
        with _engine_errors(f"writing to {self.path}"):
            self._shard.update(operation)

    def upsert(self, points: PointBatch) -> None:
        """Add or replace checked points."""
        # The engine reads a tuple of floats in half the time that it takes for a row of an array.
        vectors = self._row.iter_unpack(np.ascontiguousarray(points.vectors).data)
        rows: Any = zip(points.ids, vectors, points.payloads, strict=True)
        found = (edge.Point(uuid.UUID(i), vector, payload) for i, vector, payload in rows)
        while some := list(islice(found, _POINTS)):
            self._update(edge.UpdateOperation.upsert_points(some))

    def seal(self) -> None:
        """Build the index if there are enough points for one, write everything to disk and close.

        The first load after a write folds the engine's journals into its files, so that load is
        done here: later ones change nothing, and the files can be compared with checksums.
        """
        with _engine_errors(f"writing {self.path}"):
            self._shard.optimize()
            self._shard.flush()
            self._shard.close()
            (self.path / _CONFIG_FILE).unlink()
            self._load().close()

    def count(self, filters: Filters | None = None) -> int:
        """Exact number of points that pass the filter."""
        with _engine_errors(f"counting in {self.path}"):
            return self._shard.count(
                edge.CountRequest(exact=True, filter=engine_filter(filters, edge))
            )

    def query(
        self, vectors: Vectors, depth: int, filters: Filters | None, *, exact: bool
    ) -> list[list[ScoredPoint]]:
        """The ``depth`` nearest points to each vector, as the engine orders them."""
        condition = engine_filter(filters, edge)
        rescored = edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        params = edge.SearchParams(
            exact=exact,
            quantization=rescored,
            hnsw_ef=FILTERED_EF if condition else None,
            acorn=edge.AcornSearchParams(enable=True) if condition else None,
        )
        requests = [
            edge.QueryRequest(
                query=edge.Query.Nearest(vector),
                limit=depth,
                filter=condition,
                with_payload=True,
                params=params,
            )
            for vector in vectors
        ]
        with _engine_errors(f"searching {self.path}"):
            found = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [
            [ScoredPoint(str(p.id), cosine(p.score), p.payload or {}) for p in points]
            for points in found
        ]

    def scroll(self, filters: Filters | None, batch_size: int) -> Iterator[PointBatch]:
        """All points that pass the filter, sorted by id."""
        condition = engine_filter(filters, edge)
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=batch_size,
                filter=condition,
                with_payload=True,
                with_vector=True,
            )
            with _engine_errors(f"reading {self.path}"):
                records, offset = self._shard.scroll(request)
            if records:
                yield PointBatch(
                    [str(record.id) for record in records],
                    self._matrix(records),
                    [record.payload or {} for record in records],
                )
            if offset is None:
                return

    def _matrix(self, records: Sequence[edge.Record]) -> Vectors:
        # Rows come as lists of floats; packing them is the quickest way into an array.
        buffer = bytearray(self._row.size * len(records))
        for i, record in enumerate(records):
            self._row.pack_into(buffer, i * self._row.size, *record.vector)  # type: ignore[misc]
        return np.frombuffer(buffer, dtype=np.float32).reshape(-1, self.dim)

    def close(self) -> None:
        """Release its files."""
        with _engine_errors(f"closing {self.path}"):
            self._shard.close()
