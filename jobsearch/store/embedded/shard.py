"""One collection in the embedded engine; the only module that imports ``qdrant_edge``."""

import os
import shutil
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import qdrant_edge as edge

from jobsearch.errors import StoreError
from jobsearch.store.embedded.engine_files import (
    SEGMENTS,
    has_read_only_files,
    private_folder,
    writable_copy,
)
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

#: The engine rewrites this file at every load, so it is neither sealed nor checked.
_CONFIG_FILE = "edge_config.json"
# Upper bound of the size of this file and its folder.
_CONFIG_BYTES = 1 << 20

# Points per write: the engine's point objects are several times as large as their data.
_WRITE_POINTS = 1000


@contextmanager
def _engine_errors(action: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # The engine raises plain Exception, and panics whose class cannot be imported.
        if type(error) is Exception or type(error).__name__ == "PanicException":
            reason = " ".join(str(error).split())
            raise StoreError(
                f"{action} failed in the embedded engine ({reason}): ingest the titles again"
            ) from error
        raise


def _edge_quantization(kind: Quantization | None) -> Any:
    """Build the quantisation config; the quantised vectors stay in memory."""
    if kind == "int8":
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
    return edge.BinaryQuantizationConfig(always_ram=True) if kind == "binary" else None


class Shard:
    """An open collection of unit vectors of ``dim`` dimensions in the folder ``path``.

    Args:
        path: folder of the collection.
        dim: length of the vectors.
        exact_up_to: up to this number of points, no index is built: a query compares all points,
            which takes a few milliseconds and is exact.
        storage: storage format of the vectors.
        new: create the collection; otherwise load the existing one.
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
            # Without a write-ahead log, points are durable after a flush; that is enough, since an
            # unfinished build is deleted. And several processes can read the same files without
            # changing them.
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
        """Load the files through a temporary folder of this reader.

        The engine writes its configuration to the folder it loads from and only reads the other
        files. With a shared folder, readers would have to wait for one another, so each loads from
        a temporary folder with a link to the segments. That folder is beside the collection's, or
        among the system's temporary files if that disk is full or read-only. Read-only files are
        copied, since the engine opens its files for writing.
        """
        if has_read_only_files(self.path / SEGMENTS):
            with writable_copy(self.path / SEGMENTS) as copy:
                return edge.EdgeShard.load(str(copy), self._config)
        beside = self.path.parent
        try:
            return self._load_through(beside)
        except Exception:
            if os.access(beside, os.W_OK) and shutil.disk_usage(beside).free >= _CONFIG_BYTES:
                raise
        return self._load_through(Path(gettempdir()))

    def _load_through(self, parent: Path) -> edge.EdgeShard:
        with private_folder(parent) as private:
            (private / SEGMENTS).symlink_to(self.path.absolute() / SEGMENTS)
            return edge.EdgeShard.load(str(private), self._config)

    def _update(self, operation: edge.UpdateOperation) -> None:
        with _engine_errors(f"writing to {self.path}"):
            self._shard.update(operation)

    def upsert(self, points: PointBatch) -> None:
        """Add or replace points that are already checked."""
        # The engine reads a tuple of floats twice as fast as a row of an array.
        vectors = self._row.iter_unpack(np.ascontiguousarray(points.vectors).data)
        rows: Any = zip(points.ids, vectors, points.payloads, strict=True)
        converted = (edge.Point(uuid.UUID(i), vector, payload) for i, vector, payload in rows)
        while chunk := list(islice(converted, _WRITE_POINTS)):
            self._update(edge.UpdateOperation.upsert_points(chunk))

    def seal(self) -> None:
        """Build the index if there are enough points, write everything to disk and close.

        The first load after a write merges the engine's journals into its files. This method does
        that load, so that later loads change nothing and the files can be verified by checksum.
        """
        with _engine_errors(f"writing {self.path}"):
            self._shard.optimize()
            self._shard.flush()
            self._shard.close()
            (self.path / _CONFIG_FILE).unlink()
            self._load().close()

    def count(self, filters: Filters | None = None) -> int:
        """Count the points that pass the filter; the number is exact."""
        with _engine_errors(f"counting in {self.path}"):
            return self._shard.count(
                edge.CountRequest(exact=True, filter=engine_filter(filters, edge))
            )

    def query(
        self, vectors: Vectors, depth: int, filters: Filters | None, *, exact: bool
    ) -> list[list[ScoredPoint]]:
        """Return the ``depth`` nearest points to each vector, in the engine's order."""
        condition = engine_filter(filters, edge)
        rescore = edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        params = edge.SearchParams(
            exact=exact,
            quantization=rescore,
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
            answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [
            [ScoredPoint(str(p.id), cosine(p.score), p.payload or {}) for p in points]
            for points in answers
        ]

    def scroll(self, filters: Filters | None, batch_size: int) -> Iterator[PointBatch]:
        """Iterate over the points that pass the filter, sorted by id."""
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
        # Each vector is a list of floats; packing them is the fastest conversion to an array.
        buffer = bytearray(self._row.size * len(records))
        for i, record in enumerate(records):
            self._row.pack_into(buffer, i * self._row.size, *record.vector)  # type: ignore[misc]
        return np.frombuffer(buffer, dtype=np.float32).reshape(-1, self.dim)

    def close(self) -> None:
        """Release the files."""
        with _engine_errors(f"closing {self.path}"):
            self._shard.close()
