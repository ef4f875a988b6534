"""The cache of embeddings: it saves work, and every command works without it."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder, letter_vectors

from jobsearch.models.cache import CacheContents, EmbeddingCache, default_cache_dir
from jobsearch.models.cached import CachedEncoder
from jobsearch.models.encoder import Encoder

INFO = FakeEncoder().info


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    with closing(EmbeddingCache(tmp_path / "new" / "folder")) as opened:
        yield opened


def test_stored_vectors_are_found(cache: EmbeddingCache) -> None:
    texts = [f"title {i}" for i in range(1200)]
    cache.put(INFO, texts, letter_vectors(texts))
    found = cache.get(INFO, ["unknown", *texts])
    assert sorted(found) == sorted(texts)
    assert all(
        np.array_equal(found[text], row)
        for text, row in zip(texts, letter_vectors(texts), strict=True)
    )
    assert found["title 0"].dtype == np.float32
    assert cache.contents().vectors == 1200


def test_another_encoder_finds_nothing(cache: EmbeddingCache) -> None:
    cache.put(INFO, ["cook"], letter_vectors(["cook"]))
    assert cache.get(replace(INFO, weights_sha256="c" * 64), ["cook"]) == {}
    assert cache.get(replace(INFO, variant="finetuned"), ["cook"]) == {}
    assert list(cache.get(INFO, ["cook"])) == ["cook"]


def test_nothing_is_embedded_twice(cache: EmbeddingCache) -> None:
    batches = [["cook", "nurse"], ["waiter", "Nurse"], ["cook"]]
    inner = FakeEncoder()
    encoder = CachedEncoder(inner, cache)
    first = list(encoder.encode_document_batches(batches))
    again = list(encoder.encode_document_batches(batches))
    for found, batch in zip((*first, *again), batches * 2, strict=True):
        assert np.array_equal(found, letter_vectors(batch))
    # All of the second time, and the last of the first.
    assert encoder.hits == 6
    assert inner.documents.count("waiter") == 1

    mixed = encoder.encode_documents(["teacher", "cook", "teacher", "nurse"])
    assert np.array_equal(mixed, letter_vectors(["teacher", "cook", "teacher", "nurse"]))
    assert inner.documents.count("teacher") == 1
    assert encoder.encode_documents([]).shape == (0, INFO.dim)


def test_another_process_finds_the_vectors_of_a_killed_one(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; import numpy as np\n"
        "from jobsearch.models.cache import EmbeddingCache\n"
        "from jobsearch.types import EncoderInfo\n"
        f"info = {INFO!r}\n"
        "cache = EmbeddingCache(Path(sys.argv[1]))\n"
        f"cache.put(info, ['cook'], np.eye(1, {INFO.dim}, dtype=np.float32))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -9
    with closing(EmbeddingCache(tmp_path)) as cache:
        assert cache.get(INFO, ["cook"])["cook"].tolist() == [1.0] + [0.0] * (INFO.dim - 1)


WIDE = replace(INFO, dim=1000)


def embed(folder: Path, batches: Iterable[int]) -> int:
    """Look up batches of 100 texts in a cache of 5 MB, and store missing ones; count the hits."""
    rows = np.zeros((100, 1000), dtype=np.float32)
    hits = 0
    with closing(EmbeddingCache(folder, size_mb=5)) as cache:
        for batch in batches:
            texts = [f"{batch} {i}" for i in range(100)]
            found = cache.get(WIDE, texts)
            hits += len(found)
            missing = [text for text in texts if text not in found]
            cache.put(WIDE, missing, rows[: len(missing)])
        # Trimmed every 64 batches.
        cache.prune(5)
    return hits


def test_texts_that_do_not_all_fit_are_found_as_far_as_the_cache_holds_them(tmp_path: Path) -> None:
    assert embed(tmp_path, range(64)) == 0
    with closing(EmbeddingCache(tmp_path, size_mb=5)) as cache:
        held = cache.contents().vectors
    # 4,004 bytes each, and the overhead of SQLite's pages.
    assert 1000 < held < 1300
    for _ in range(3):
        assert embed(tmp_path, range(64)) > 0.95 * held
    # Others replace them: these are found next time.
    assert embed(tmp_path, range(100, 164)) == 0
    assert embed(tmp_path, range(100, 164)) > 0.95 * held
    assert embed(tmp_path, range(64)) == 0


def test_an_ingest_that_fits_replaces_what_it_does_not_use(tmp_path: Path) -> None:
    assert embed(tmp_path, range(10)) == 0
    # The last five of the first run are used, the first five are the oldest ones.
    assert embed(tmp_path, [5, 6, 7, 8, 9, 20, 21, 22, 23]) == 500
    assert embed(tmp_path, [5, 6, 7, 8, 9, 20, 21, 22, 23]) == 900


def test_the_oldest_vectors_are_deleted(tmp_path: Path) -> None:
    wide = WIDE
    embed(tmp_path, range(53, 64))
    with closing(EmbeddingCache(tmp_path, size_mb=5)) as cache:
        remaining = cache.prune(2)
        assert remaining.size_bytes <= 2 << 20
        assert cache.path.stat().st_size == remaining.size_bytes
        assert list(cache.get(wide, ["63 99"])) == ["63 99"]
        assert cache.prune(0).vectors == 0


def test_a_damaged_vector_is_embedded_again(cache: EmbeddingCache) -> None:
    texts = ["cook", "nurse", "waiter"]
    cache.put(INFO, texts, letter_vectors(texts))
    with sqlite3.connect(cache.path) as other:
        rows = other.execute("SELECT id, vector FROM vectors ORDER BY id").fetchall()
        flipped = bytes([rows[0][1][0] ^ 1]) + rows[0][1][1:]
        other.execute("UPDATE vectors SET vector = ? WHERE id = ?", (flipped, rows[0][0]))
        other.execute("UPDATE vectors SET vector = 'text' WHERE id = ?", (rows[1][0],))
    other.close()
    inner = FakeEncoder()
    found = CachedEncoder(inner, cache).encode_documents(texts)
    assert np.array_equal(found, letter_vectors(texts))
    assert inner.documents == ["cook", "nurse"]


def unusable_file(folder: Path) -> None:
    (folder / "embeddings.sqlite").write_bytes(b"no database" * 500)


def unusable_folder(folder: Path) -> None:
    (folder / "embeddings.sqlite").mkdir()


def other_table(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "embeddings.sqlite")) as other:
        other.execute("CREATE TABLE vectors (name TEXT)")


@pytest.mark.parametrize("spoil", [unusable_file, unusable_folder, other_table])
def test_an_unusable_cache_is_skipped_with_a_warning(
    tmp_path: Path, spoil, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(tmp_path)
    with caplog.at_level(logging.WARNING, "jobsearch"), closing(EmbeddingCache(tmp_path)) as cache:
        encoder = CachedEncoder(FakeEncoder(), cache)
        for _ in range(2):
            assert np.array_equal(encoder.encode_documents(["cook"]), letter_vectors(["cook"]))
        assert encoder.hits == 0
        assert cache.contents() == CacheContents(0, 0)
    [warning] = caplog.messages
    assert str(tmp_path) in warning
    assert warning.endswith("continuing without it")


def test_a_folder_that_cannot_be_created(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, "jobsearch"):
        cache = EmbeddingCache(tmp_path / "file" / "folder")
    assert cache.get(INFO, ["cook"]) == {}
    assert len(caplog.messages) == 1


def test_two_connections_share_the_file(tmp_path: Path) -> None:
    with closing(EmbeddingCache(tmp_path)) as one, closing(EmbeddingCache(tmp_path)) as two:
        one.put(INFO, ["cook"], letter_vectors(["cook"]))
        two.put(INFO, ["cook", "nurse"], letter_vectors(["cook", "nurse"]))
        assert sorted(one.get(INFO, ["cook", "nurse"])) == ["cook", "nurse"]


def test_the_builtin_model_with_a_cache(tmp_path: Path, builtin: Encoder) -> None:
    titles = ["Krankenschwester", "registered nurse", "注册护士"]
    with closing(EmbeddingCache(tmp_path)) as cache:
        encoder = CachedEncoder(builtin, cache)
        first = encoder.encode_documents(titles)
        assert np.array_equal(encoder.encode_documents(titles), first)
        assert encoder.hits == 3
    assert np.allclose(first, builtin.encode_documents(titles), atol=1e-6)


def test_default_folder() -> None:
    assert default_cache_dir().name == "jobsearch"
