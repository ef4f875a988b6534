"""Points in Parquet files: what other machines embed, and what a snapshot keeps.

A file is one part of a collection. Its columns: ``id`` (string, the UUID of the point), ``vector``
(fixed-size list of float32, unit length) and a string column for each payload field, null where a
title lacks it. Its schema's metadata has, under ``jobsearch``, a JSON object: ``format`` (1),
``alias``, ``part`` and ``parts`` (this is part 1 of 4, say), and ``collection``, the metadata of
the collection; under ``jobsearch_crc32``, the checksum of that object and of all points, which
Parquet's own of single pages is not enough for. Any program that writes Parquet can make one,
without the checksum if need be: see docs/data-formats.md.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.sources.parquet import (
    BATCH_ROWS,
    flat_columns,
    import_parquet,
    is_text,
    open_parquet,
    values_of,
)
from jobsearch.errors import CollectionMismatch, SourceFormatError, SourceNotFound
from jobsearch.files import whole_file
from jobsearch.store import CollectionMetadata, PointBatch
from jobsearch.store.metadata import check_alias
from jobsearch.types import FILTER_FIELDS

FORMAT = 1
_KEY, _CHECKSUM_KEY = b"jobsearch", b"jobsearch_crc32"
_FIELDS = ("title", *FILTER_FIELDS, "run_id")
_REQUIRED = ("title", "language", "source", "kind")
# Of the points that are read at a time: 32,000 of each, where titles and ids have hundreds.
_MAX_BATCH_CHARS = 32_000_000


@dataclass(frozen=True, slots=True)
class PointFileHeader:
    """What a file says of itself.

    Args:
        alias: of the collection.
        metadata: of the collection; its sources' points are those of all parts.
        part, parts: which of how many, from 1.
    """

    alias: str
    metadata: CollectionMetadata
    part: int = 1
    parts: int = 1

    @property
    def file_name(self) -> str:
        """What the file is called in a folder of parts."""
        return f"{self.alias}.{self.part:05d}-of-{self.parts:05d}.parquet"


def write_point_file(path: Path, header: PointFileHeader, points: Iterable[PointBatch]) -> int:
    """Write a file, whole or not at all; returns the number of its points.

    Raises:
        SourceFormatError: it cannot be written, or pyarrow is missing.
    """
    pyarrow, parquet = import_parquet()
    schema = _schema(pyarrow, header)
    written = 0
    with (
        whole_file(path, "choose another place", SourceFormatError) as partial,
        parquet.ParquetWriter(partial, schema) as writer,
    ):
        checksum = zlib.crc32(schema.metadata[_KEY])
        for batch in points:
            writer.write_batch(_record_batch(pyarrow, schema, batch))
            checksum = _checksum(checksum, batch)
            written += len(batch)
        writer.add_key_value_metadata({_CHECKSUM_KEY: str(checksum)})
    return written


def _checksum(before: int, batch: PointBatch) -> int:
    """CRC-32 going on over every point: its id, the bytes of its vector, and its payload."""
    for point_id, vector, payload in zip(batch.ids, batch.vectors, batch.payloads, strict=True):
        fields = json.dumps([point_id, *sorted(payload.items())])
        before = zlib.crc32(fields.encode(), zlib.crc32(vector.astype("<f4").tobytes(), before))
    return before


def _schema(pyarrow: Any, header: PointFileHeader) -> Any:
    described = {
        "format": FORMAT,
        "alias": header.alias,
        "part": header.part,
        "parts": header.parts,
        "collection": header.metadata.as_dict(),
    }
    vector = pyarrow.list_(pyarrow.float32(), header.metadata.encoder.dim)
    columns = [("id", pyarrow.string()), ("vector", vector)]
    columns += [(field, pyarrow.string()) for field in _FIELDS]
    stored = json.dumps(described, ensure_ascii=False).encode()
    return pyarrow.schema(columns, metadata={_KEY: stored})


def _record_batch(pyarrow: Any, schema: Any, batch: PointBatch) -> Any:
    flat = pyarrow.array(np.ascontiguousarray(batch.vectors, dtype=np.float32).reshape(-1))
    columns = [
        pyarrow.array(batch.ids, type=pyarrow.string()),
        pyarrow.FixedSizeListArray.from_arrays(flat, batch.vectors.shape[1]),
    ]
    columns += [
        pyarrow.array([payload.get(field) for payload in batch.payloads], type=pyarrow.string())
        for field in _FIELDS
    ]
    return pyarrow.record_batch(columns, schema=schema)


class PointFile:
    """One file, whose header was read and whose points can be.

    Raises:
        SourceNotFound: it is not there.
        SourceFormatError: it is no such file, or pyarrow is missing.
        CollectionMismatch: what it says of its collection cannot be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise SourceNotFound(f"{path} does not exist: give a file that jobsearch wrote")
        with self._opened() as file:
            self.points = int(file.metadata.num_rows)
            self._stored = dict(file.metadata.metadata or {})
            self.header = self._read_header()
            texts = [field.name for field in file.schema_arrow if is_text(field.type)]
            texts = flat_columns(file, texts)
        if missing := {"id", *_REQUIRED} - set(texts):
            raise SourceFormatError(
                f"{path} has no column of text called {', '.join(sorted(missing))}: write it again"
            )
        self._columns = [name for name in _FIELDS if name in texts]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        pyarrow, _ = import_parquet()
        try:
            with open_parquet(self.path) as file:
                yield file
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SourceFormatError(
                f"{self.path} cannot be read as Parquet ({reason}): it was cut short or altered, "
                "write it again"
            ) from error

    def _read_header(self) -> PointFileHeader:
        try:
            found = json.loads(self._stored[_KEY])
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']!r}, this jobsearch reads {FORMAT}")
            metadata = CollectionMetadata.from_dict(found["collection"])
            alias = check_alias(found["alias"], metadata.language, metadata.encoder)
            return PointFileHeader(alias, metadata, int(found["part"]), int(found["parts"]))
        except CollectionMismatch as error:
            raise CollectionMismatch(f"{self.path}: {error}") from error
        except (
            AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError
        ) as error:  # fmt: skip
            raise SourceFormatError(
                f"{self.path} does not say which collection it is part of ({error}): "
                "`jobsearch ingest … --embed-to` and `jobsearch collections snapshot` write such "
                "files"
            ) from error

    def batches(self) -> Iterator[PointBatch]:
        """The points in the order of the file.

        Raises:
            SourceFormatError: a value is missing or of the wrong kind, or, when all were taken,
                they are not what was written.
        """
        checksum = zlib.crc32(self._stored[_KEY])
        with self._opened() as file:
            for found in file.iter_batches(BATCH_ROWS, columns=["id", "vector", *self._columns]):
                batch = self._batch(found)
                yield batch
                checksum = _checksum(checksum, batch)
        if _CHECKSUM_KEY in self._stored and self._stored[_CHECKSUM_KEY] != str(checksum).encode():
            raise SourceFormatError(
                f"{self.path} was altered (its checksum differs): write it again"
            )

    def _batch(self, found: Any) -> PointBatch:
        dim = self.header.metadata.encoder.dim
        fields = {name: values_of(found.column(name)) for name in ("id", *self._columns)}
        chars = sum(len(text) for texts in fields.values() for text in texts if text)
        if chars > _MAX_BATCH_CHARS:
            raise SourceFormatError(
                f"{self.path} has {chars // 1_000_000:,} million characters in {len(found):,} "
                "points: those are no titles and ids, write it again"
            )
        try:
            flat = found.column("vector").flatten().to_numpy(zero_copy_only=False)
            vectors = np.ascontiguousarray(flat, dtype=np.float32).reshape(len(found), dim)
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise SourceFormatError(
                f"{self.path} has vectors that are not of {dim} numbers: write it again"
            ) from error
        payloads: list[dict[str, str]] = []
        for row in range(len(found)):
            payload = {name: fields[name][row] for name in self._columns if fields[name][row]}
            absent = [name for name in _REQUIRED if not isinstance(payload.get(name), str)]
            if absent or payload["language"] != self.header.metadata.language:
                wrong = ", ".join(absent) or f"language {payload['language']}"
                raise SourceFormatError(
                    f"{self.path} has a title without, or with another, {wrong} "
                    f"(point {fields['id'][row]}): write it again"
                )
            payloads.append(payload)
        return PointBatch(fields["id"], vectors, payloads)


def find_point_files(path: Path) -> list[PointFile]:
    """The parts in a folder, or the one that is a file; sorted by alias and number.

    Raises:
        SourceNotFound: there is none.
        SourceFormatError: one cannot be read.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise SourceNotFound(
            f"{path} has no Parquet file: write some with `jobsearch ingest … --embed-to`"
        )
    parts = [PointFile(file) for file in files]
    return sorted(parts, key=lambda part: (part.header.alias, part.header.part))
