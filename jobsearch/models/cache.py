"""Vectors of titles on disk, so that what was embedded once is not embedded again.

One SQLite file. A key is a digest of the encoder's fingerprint and the normalised title; a value is
the vector and its checksum. Beside them is what encoders are, by a digest of their files. The cache
may be lost, full, locked or damaged at any time: then titles are embedded again, and a warning says
why.
"""

import hashlib
import json
import logging
import math
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs

from jobsearch.types import EncoderInfo
from jobsearch.vectors import Vectors

_logger = logging.getLogger(__name__)

DEFAULT_SIZE_MB = 2048
_FILE = "embeddings.sqlite"
# Several vectors fit on one: a page each would double the file.
_PAGE_BYTES = 1 << 14
_CHECKSUM_BYTES = 4
_LOCK_TIMEOUT_S = 5.0
# Keys in one query: SQLite's limit on parameters was 999 once.
_KEYS = 500
_PUTS_BETWEEN_TRIMS = 64
# Share of the limit that is left when the oldest have gone.
_TRIMMED = 0.95


def default_cache_dir() -> Path:
    """The folder for caches of this user, where the operating system has it."""
    return platformdirs.user_cache_path("jobsearch")


@dataclass(frozen=True, slots=True)
class CacheContents:
    """What a cache holds: number of vectors, and size of its file in bytes."""

    vectors: int
    size_bytes: int


class EmbeddingCache:
    """The cache in ``folder``, made if need be.

    Args:
        folder: where its file is.
        size_mb: size of the file above which the oldest vectors go.
    """

    def __init__(self, folder: Path, size_mb: int = DEFAULT_SIZE_MB) -> None:
        self.path = folder / _FILE
        self._limit = size_mb << 20
        self._puts = 0
        self._connection: sqlite3.Connection | None = None
        with self._or_without():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        # What was put is there, whenever the process is killed: it commits by itself.
        connection = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT_S, isolation_level=None)
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors "
            "(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL)"
        )
        connection.execute(
            "CREATE TABLE IF NOT EXISTS encoders (files BLOB PRIMARY KEY, info TEXT NOT NULL)"
        )
        return connection

    @contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            _logger.warning(
                "the cache of embeddings %s cannot be used (%s): going on without it",
                self.path,
                error,
            )
            self.close()

    def get(self, info: EncoderInfo, texts: Sequence[str]) -> dict[str, Vectors]:
        """The vectors that are there, by normalised text: each (dim,) float32 of unit length."""
        keys = _keys(info, texts)
        texts_by_key = dict(zip(keys, texts, strict=True))
        found: dict[str, Vectors] = {}
        with self._or_without():
            for start in range(0, len(keys), _KEYS):
                for key, value in self._rows(keys[start : start + _KEYS]):
                    vector = _vector(value, info.dim)
                    if vector is not None:
                        found[texts_by_key[key]] = vector
        return found

    def _rows(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        if self._connection is None:
            return []
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608
        return self._connection.execute(query, keys).fetchall()

    def put(self, info: EncoderInfo, texts: Sequence[str], vectors: Vectors) -> None:
        """Keep the vectors, (n, dim) float32, of these normalised texts."""
        if self._connection is None or not texts:
            return
        rows = zip(_keys(info, texts), map(_value, vectors), strict=True)
        with self._or_without():
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows
            )
            self._connection.execute("COMMIT")
            self._puts += 1
            if self._puts % _PUTS_BETWEEN_TRIMS == 0:
                self._trim(self._limit)

    def encoder_info(self, files: bytes) -> EncoderInfo | None:
        """What the encoder is whose files have this digest; None if that is not known."""
        with self._or_without():
            if self._connection is None:
                return None
            row = self._connection.execute(
                "SELECT info FROM encoders WHERE files = ?", (files,)
            ).fetchone()
            try:
                return EncoderInfo(**json.loads(row[0])) if row else None
            except (TypeError, ValueError):
                # It was damaged, or written by another version.
                return None
        return None

    def put_encoder_info(self, files: bytes, info: EncoderInfo) -> None:
        """Keep what the encoder is whose files have this digest."""
        with self._or_without():
            if self._connection is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO encoders (files, info) VALUES (?, ?)",
                    (files, json.dumps(asdict(info))),
                )

    def prune(self, size_mb: int) -> CacheContents:
        """Delete the oldest vectors beyond ``size_mb``; returns what is left."""
        with self._or_without():
            self._trim(size_mb << 20)
            if self._connection is not None:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.contents()

    def _trim(self, limit: int) -> None:
        held = self.contents()
        if self._connection is None or held.size_bytes <= limit:
            return
        # Well below the limit, so that it is not trimmed at every step.
        surplus = math.ceil(held.vectors * (1 - _TRIMMED * limit / held.size_bytes))
        self._connection.execute(
            "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY id LIMIT ?)",
            (surplus,),
        )

    def contents(self) -> CacheContents:
        """What it holds now; nothing if it cannot be used."""
        with self._or_without():
            if self._connection is not None:
                ask = self._connection.execute
                [vectors] = ask("SELECT count(*) FROM vectors").fetchone()
                [pages] = ask("PRAGMA page_count").fetchone()
                [free] = ask("PRAGMA freelist_count").fetchone()
                [page_bytes] = ask("PRAGMA page_size").fetchone()
                return CacheContents(vectors, (pages - free) * page_bytes)
        return CacheContents(0, 0)

    def close(self) -> None:
        """Release the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _keys(info: EncoderInfo, texts: Sequence[str]) -> list[bytes]:
    start = hashlib.sha256(f"{info.fingerprint}\n".encode())
    keys = []
    for text in texts:
        digest = start.copy()
        digest.update(text.encode())
        keys.append(digest.digest())
    return keys


def _value(vector: Vectors) -> bytes:
    raw = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return raw + zlib.crc32(raw).to_bytes(_CHECKSUM_BYTES, "little")


def _vector(value: object, dim: int) -> Vectors | None:
    """The vector of a value; None for one that is damaged."""
    if not isinstance(value, bytes) or len(value) != dim * 4 + _CHECKSUM_BYTES:
        return None
    raw = value[:-_CHECKSUM_BYTES]
    if zlib.crc32(raw).to_bytes(_CHECKSUM_BYTES, "little") != value[-_CHECKSUM_BYTES:]:
        return None
    return np.frombuffer(raw, dtype="<f4").astype(np.float32)
