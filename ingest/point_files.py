"""Reads and writes points in Parquet files: parts embedded by other machines, and snapshots.

A file is one part of a collection. Its columns are ``id`` (string, the UUID of the point),
``vector`` (fixed-size list of float32, unit length) and a string column for each payload field,
null if a title lacks the field. The schema metadata has two keys. ``jobsearch`` is a JSON object:
``format`` (1), ``alias``, ``part`` and ``parts`` (for example 1 and 4), and ``collection``, the
metadata of the collection. ``jobsearch_crc32`` is the checksum of that object and of all points;
Parquet itself only has checksums of single pages. Any program that writes Parquet can make such a
file, also without the checksum: see docs/data-formats.md.
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
from jobsearch.store.ranking import check_points
from jobsearch.types import FILTER_FIELDS, REQUIRED_FIELDS

FORMAT = 1
_KEY, _CHECKSUM_KEY = b"jobsearch", b"jobsearch_crc32"
_FIELDS = ("title", *FILTER_FIELDS, "run_id")
# Of one batch of BATCH_ROWS points: 32,000 per point, whose title and ids have a few hundred.
_MAX_BATCH_CHARS = 32_000_000


@dataclass(frozen=True, slots=True)
class PointFileHeader:
    """The header of a point file.

    Args:
        alias: of the collection.
        metadata: of the collection; ``points`` of its sources counts the points of all parts.
        part, parts: number of the file, from 1, and number of files.
    """

    alias: str
    metadata: CollectionMetadata
    part: int = 1
    parts: int = 1

    @property
    def file_name(self) -> str:
        """Name of the file in a folder of parts."""
        return f"{self.alias}.{self.part:05d}-of-{self.parts:05d}.parquet"


def write_point_file(path: Path, header: PointFileHeader, points: Iterable[PointBatch]) -> int:
    """Write a point file atomically; returns the number of its points.

    Raises:
        SourceFormatError: the file cannot be written, or pyarrow is missing.
    """
    pyarrow, parquet = import_parquet()
    schema = _schema(pyarrow, header)
    written = 0
    with (
        whole_file(path, "make room, or choose another folder", SourceFormatError) as partial,
        # pyarrow refuses paths that are not UTF-8, so Python opens the file.
        partial.open("wb") as raw,
        parquet.ParquetWriter(raw, schema) as writer,
    ):
        checksum = zlib.crc32(schema.metadata[_KEY])
        for batch in points:
            writer.write_batch(_record_batch(pyarrow, schema, batch))
            checksum = _extend_checksum(checksum, batch)
            written += len(batch)
        writer.add_key_value_metadata({_CHECKSUM_KEY: str(checksum)})
    return written


def _extend_checksum(checksum: int, batch: PointBatch) -> int:
    """Extend a CRC-32 by the points of a batch: vector, then id and payload of each."""
    for point_id, vector, payload in zip(batch.ids, batch.vectors, batch.payloads, strict=True):
        fields = json.dumps([point_id, *sorted(payload.items())])
        checksum = zlib.crc32(vector.astype("<f4").tobytes(), checksum)
        checksum = zlib.crc32(fields.encode(), checksum)
    return checksum


def _schema(pyarrow: Any, header: PointFileHeader) -> Any:
    header_json = {
        "format": FORMAT,
        "alias": header.alias,
        "part": header.part,
        "parts": header.parts,
        "collection": header.metadata.as_dict(),
    }
    vector = pyarrow.list_(pyarrow.float32(), header.metadata.encoder.dim)
    columns = [("id", pyarrow.string()), ("vector", vector)]
    columns += [(field, pyarrow.string()) for field in _FIELDS]
    encoded = json.dumps(header_json, ensure_ascii=False).encode()
    return pyarrow.schema(columns, metadata={_KEY: encoded})


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
    """A point file. The header is read at once, the points by :meth:`batches`.

    Args:
        path: of the file.

    Attributes:
        header: the header of the file.
        points: number of points in the file.

    Raises:
        SourceNotFound: the file does not exist.
        SourceFormatError: the file is no point file, or pyarrow is missing.
        CollectionMismatch: the metadata of its collection are invalid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise SourceNotFound(f"{path} does not exist: give a point file or a folder of them")
        with self._opened() as file:
            self.points = int(file.metadata.num_rows)
            self._schema_metadata = dict(file.metadata.metadata or {})
            self.header = self._read_header()
            text_columns = [field.name for field in file.schema_arrow if is_text(field.type)]
            text_columns = flat_columns(file, text_columns)
        if missing := {"id", *REQUIRED_FIELDS} - set(text_columns):
            raise SourceFormatError(
                f"{path} has no text column {', '.join(sorted(missing))}: write the file again"
            )
        self._columns = [name for name in _FIELDS if name in text_columns]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        pyarrow, _ = import_parquet()
        try:
            with open_parquet(self.path) as file:
                yield file
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SourceFormatError(
                f"{self.path} cannot be read as Parquet ({reason}): it was truncated or altered, "
                "write it again"
            ) from error

    def _read_header(self) -> PointFileHeader:
        try:
            header = json.loads(self._schema_metadata[_KEY])
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']!r}, this jobsearch reads {FORMAT}")
            metadata = CollectionMetadata.from_dict(header["collection"])
            alias = check_alias(header["alias"], metadata.language, metadata.encoder)
            return PointFileHeader(alias, metadata, int(header["part"]), int(header["parts"]))
        except CollectionMismatch as error:
            raise CollectionMismatch(f"{self.path}: {error}") from error
        except (
            AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError
        ) as error:  # fmt: skip
            raise SourceFormatError(
                f"{self.path} is no point file, its header cannot be read ({error}): give a file "
                "of `jobsearch collections snapshot` or of an ingest with `embed_to`"
            ) from error

    def batches(self) -> Iterator[PointBatch]:
        """The points in the order of the file.

        Raises:
            SourceFormatError: a value is missing or has the wrong type; after the last batch, if
                the checksum is wrong.
        """
        checksum = zlib.crc32(self._schema_metadata[_KEY])
        with self._opened() as file:
            for rows in file.iter_batches(BATCH_ROWS, columns=["id", "vector", *self._columns]):
                batch = self._batch(rows)
                yield batch
                checksum = _extend_checksum(checksum, batch)
        expected = self._schema_metadata.get(_CHECKSUM_KEY)
        if expected is not None and expected != str(checksum).encode():
            raise SourceFormatError(
                f"{self.path} was altered (its checksum differs): write it again"
            )

    def _batch(self, rows: Any) -> PointBatch:
        dim = self.header.metadata.encoder.dim
        fields = {name: values_of(rows.column(name)) for name in ("id", *self._columns)}
        chars = sum(len(text) for texts in fields.values() for text in texts if text)
        if chars > _MAX_BATCH_CHARS:
            raise SourceFormatError(
                f"{self.path} has {chars // 1_000_000:,} million characters in {len(rows):,} "
                "points, too many for titles and ids: write the file again"
            )
        try:
            flat = rows.column("vector").flatten().to_numpy(zero_copy_only=False)
            vectors = np.ascontiguousarray(flat, dtype=np.float32).reshape(len(rows), dim)
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise SourceFormatError(
                f"{self.path} has vectors with another length than {dim}: write the file again"
            ) from error
        payloads: list[dict[str, str]] = []
        language = self.header.metadata.language
        for row, point_id in enumerate(fields["id"]):
            payload = {name: fields[name][row] for name in self._columns if fields[name][row]}
            problem = ", ".join(f"no {name}" for name in REQUIRED_FIELDS if name not in payload)
            if not problem and payload["language"] != language:
                problem = f"language {payload['language']}, not {language}"
            if problem:
                raise SourceFormatError(
                    f"{self.path}: point {point_id} has {problem}. Write the file again"
                )
            payloads.append(payload)
        batch = PointBatch(fields["id"], vectors, payloads)
        try:
            check_points(batch, dim)
        except ValueError as error:
            raise SourceFormatError(f"{self.path}: {error}. Write the file again") from error
        return batch


def find_point_files(path: Path) -> list[PointFile]:
    """The point files in a folder, or the one at ``path``; sorted by alias and part number.

    Raises:
        SourceNotFound: there is no such file, or no Parquet file in the folder.
        SourceFormatError: a file cannot be read.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise SourceNotFound(
            f"{path} has no Parquet file: give the folder of an ingest with `embed_to`"
        )
    parts = [PointFile(file) for file in files]
    return sorted(parts, key=lambda part: (part.header.alias, part.header.part))
