"""A cache of embeddings on disk, so that no title is embedded twice.

One SQLite file with two tables: ``vectors`` maps a digest of the encoder's fingerprint and the
normalised title to the vector and its checksum; ``encoders`` maps a digest of a model's files to
the description of its encoder. If the cache is lost, full, locked or damaged, titles are embedded
again, and a warning says why.
"""

import hashlib
import json
import logging
import math
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from jobsearch.types import EncoderInfo
from jobsearch.vectors import Vectors

_logger = logging.getLogger(__name__)

DEFAULT_SIZE_MB = 2048
_FILE = "embeddings.sqlite"
# Several vectors fit on one page; with one page per vector, the file would be twice as large.
_PAGE_BYTES = 1 << 14
_CHECKSUM_BYTES = 4
_LOCK_TIMEOUT_S = 5.0
# Keys in one query: earlier versions of SQLite allow 999 parameters.
_KEYS_PER_QUERY = 500
_PUTS_BETWEEN_TRIMS = 64
# Trimming deletes down to this share of the limit, so that it is not needed again at once.
_TRIMMED = 0.95


def default_cache_dir() -> Path:
    """The cache folder of the operating system for this user and program."""
    return platformdirs.user_cache_path("jobsearch")


@dataclass(frozen=True, slots=True)
class CacheContents:
    """Number of vectors in a cache, and size of its file in bytes."""

    vectors: int
    size_bytes: int


class EmbeddingCache:
    """The cache in a folder; the folder and the file are created if missing.

    Failures of the file raise no errors: the first one logs a warning, and from then on the cache
    behaves as if it were empty.

    Args:
        folder: folder of the cache file.
        size_mb: maximum size of the file in MB. Beyond it, vectors that this object has neither
            found nor stored are deleted, the oldest first. If only its own are left, it deletes the
            last ones that it stored: otherwise, of texts that do not all fit and are embedded again
            in the same order, none would be found.
    """

    def __init__(self, folder: Path, size_mb: int = DEFAULT_SIZE_MB) -> None:
        self.path = folder / _FILE
        self._limit = size_mb << 20
        self._puts = 0
        self._connection: sqlite3.Connection | None = None
        with self._warn_and_close_on_errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: stored vectors survive if the process is killed.
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
        # The vectors that this object has found or stored.
        connection.execute("CREATE TEMP TABLE used (id INTEGER PRIMARY KEY)")
        return connection

    @contextmanager
    def _warn_and_close_on_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            _logger.warning(
                "the cache of embeddings %s cannot be used (%s): continuing without it",
                self.path,
                error,
            )
            self.close()

    def get(self, info: EncoderInfo, texts: Sequence[str]) -> dict[str, Vectors]:
        """The cached vectors by normalised text: each (dim,) float32, of unit length."""
        keys = _keys(info, texts)
        texts_by_key = dict(zip(keys, texts, strict=True))
        vectors: dict[str, Vectors] = {}
        with self._warn_and_close_on_errors():
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                for key, value in self._rows(keys[start : start + _KEYS_PER_QUERY]):
                    vector = _vector(value, info.dim)
                    if vector is not None:
                        vectors[texts_by_key[key]] = vector
        return vectors

    def _rows(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        if self._connection is None:
            return []
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, vector, id FROM vectors WHERE key IN ({marks})"  # noqa: S608
        rows = self._connection.execute(query, keys).fetchall()
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT OR IGNORE INTO used VALUES (?)", [(row[2],) for row in rows]
        )
        self._connection.execute("COMMIT")
        return [(key, vector) for key, vector, _ in rows]

    def put(self, info: EncoderInfo, texts: Sequence[str], vectors: Vectors) -> None:
        """Store the vectors, (n, dim) float32, of n normalised texts."""
        if self._connection is None or not texts:
            return
        rows = zip(_keys(info, texts), map(_value, vectors), strict=True)
        with self._warn_and_close_on_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            [last] = self._connection.execute("SELECT ifnull(max(id), 0) FROM vectors").fetchone()
            self._connection.executemany(
                "INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows
            )
            self._connection.execute(
                "INSERT OR IGNORE INTO used SELECT id FROM vectors WHERE id > ?", (last,)
            )
            self._connection.execute("COMMIT")
            self._puts += 1
            if self._puts % _PUTS_BETWEEN_TRIMS == 0:
                self._trim(self._limit)

    def encoder_info(self, files: bytes) -> EncoderInfo | None:
        """The encoder whose files have the digest ``files``; None if the cache does not have it."""
        with self._warn_and_close_on_errors():
            if self._connection is None:
                return None
            row = self._connection.execute(
                "SELECT info FROM encoders WHERE files = ?", (files,)
            ).fetchone()
            try:
                return EncoderInfo.from_dict(json.loads(row[0])) if row else None
            except (AttributeError, KeyError, TypeError, ValueError):
                # The entry is damaged, or another version wrote it.
                return None
        return None

    def put_encoder_info(self, files: bytes, info: EncoderInfo) -> None:
        """Store the description of the encoder whose files have the digest ``files``."""
        with self._warn_and_close_on_errors():
            if self._connection is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO encoders (files, info) VALUES (?, ?)",
                    (files, json.dumps(info.as_dict())),
                )

    def prune(self, size_mb: int) -> CacheContents:
        """Delete vectors beyond ``size_mb``; returns the remaining contents."""
        with self._warn_and_close_on_errors():
            self._trim(size_mb << 20)
            if self._connection is not None:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.contents()

    def _trim(self, limit: int) -> None:
        contents = self.contents()
        if self._connection is None or contents.size_bytes <= limit:
            return
        surplus = math.ceil(contents.vectors * (1 - _TRIMMED * limit / contents.size_bytes))
        unused = "SELECT id FROM vectors WHERE id NOT IN used ORDER BY id LIMIT ?"
        own = "SELECT id FROM vectors ORDER BY id DESC LIMIT ?"
        for victims in (unused, own):
            deleted = self._connection.execute(
                f"DELETE FROM vectors WHERE id IN ({victims})",  # noqa: S608
                (surplus,),
            )
            surplus -= deleted.rowcount

    def contents(self) -> CacheContents:
        """Current contents; zero vectors and bytes if the cache cannot be used."""
        with self._warn_and_close_on_errors():
            if self._connection is not None:
                execute = self._connection.execute
                [vectors] = execute("SELECT count(*) FROM vectors").fetchone()
                [pages] = execute("PRAGMA page_count").fetchone()
                [free] = execute("PRAGMA freelist_count").fetchone()
                [page_bytes] = execute("PRAGMA page_size").fetchone()
                return CacheContents(vectors, (pages - free) * page_bytes)
        return CacheContents(0, 0)

    def close(self) -> None:
        """Close the file."""
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
    """The vector in a stored value; None if the value is damaged."""
    if not isinstance(value, bytes) or len(value) != dim * 4 + _CHECKSUM_BYTES:
        return None
    raw = value[:-_CHECKSUM_BYTES]
    if zlib.crc32(raw).to_bytes(_CHECKSUM_BYTES, "little") != value[-_CHECKSUM_BYTES:]:
        return None
    return np.frombuffer(raw, dtype="<f4").astype(np.float32)
