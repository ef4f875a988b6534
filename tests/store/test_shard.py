"""The embedded engine behaves as the store expects."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge
from titles import DIM, batch, records, unit_vectors

from jobsearch.errors import StoreError
from jobsearch.store.embedded.engine_files import checksums
from jobsearch.store.embedded.shard import Shard

MANY = 2000
POINTS = batch(records(MANY), unit_vectors(MANY))


def filled(path: Path, exact_up_to: int) -> Shard:
    shard = Shard(path, DIM, exact_up_to=exact_up_to, new=True)
    shard.upsert(POINTS)
    shard.seal()
    return Shard(path, DIM, exact_up_to=exact_up_to, new=False)


def indexed(shard: Shard) -> int:
    """Number of vectors in the approximate index."""
    return shard._shard.info().indexed_vectors_count


def test_few_points_get_no_index(tmp_path: Path) -> None:
    shard = filled(tmp_path / "0", MANY)
    assert (shard.count(), indexed(shard)) == (MANY, 0)


def test_many_points_get_an_index_and_exact_queries_bypass_it(tmp_path: Path) -> None:
    shard = filled(tmp_path / "0", 500)
    assert (shard.count(), indexed(shard)) == (MANY, MANY)
    queries = unit_vectors(20, seed=1)
    exact = shard.query(queries, 10, None, exact=True)
    by_hand = np.argsort(-(queries @ POINTS.vectors.T), axis=1)[:, :10]
    assert [[p.id for p in row] for row in exact] == [
        [POINTS.ids[i] for i in row] for row in by_hand
    ]
    # The index may miss a few of the ten nearest points.
    rough = shard.query(queries, 10, None, exact=False)
    shared = [len({p.id for p in a} & {p.id for p in b}) for a, b in zip(rough, exact, strict=True)]
    assert sum(shared) >= 180
    assert shard.count() == sum(len(part) for part in shard.scroll(None, 300))


@pytest.mark.parametrize("exact_up_to", [500, MANY], ids=["index", "no index"])
def test_reading_does_not_change_a_sealed_folder(tmp_path: Path, exact_up_to: int) -> None:
    shard = filled(tmp_path / "0", exact_up_to)
    shard.close()
    sealed = checksums(tmp_path / "0")
    for _ in range(2):
        shard = Shard(tmp_path / "0", DIM, exact_up_to=exact_up_to, new=False)
        shard.query(unit_vectors(3), 5, None, exact=False)
        assert shard.count() == MANY
        shard.close()
        assert checksums(tmp_path / "0") == sealed


def test_a_collection_on_a_full_disk_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "disk" / "0", MANY).close()
    usage, real, tried = shutil.disk_usage(tmp_path), edge.EdgeShard.load, []

    class Full:
        @staticmethod
        def load(own: str, config: edge.EdgeConfig) -> edge.EdgeShard:
            tried.append(Path(own).parent)
            if tried[-1] == tmp_path / "disk":
                raise Exception("No space left on device (os error 28)")  # as the engine does
            return real(own, config)

    def load() -> Shard:
        return Shard(tmp_path / "disk" / "0", DIM, exact_up_to=MANY, new=False)

    monkeypatch.setattr("jobsearch.store.embedded.shard.edge.EdgeShard", Full)
    with pytest.raises(StoreError, match="No space"):
        load()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert load().count() == MANY
    assert tried == [tmp_path / "disk", tmp_path / "disk", Path(tempfile.gettempdir())]


def test_errors_of_the_engine_are_mapped(tmp_path: Path) -> None:
    shard = Shard(tmp_path / "0", DIM, exact_up_to=100, new=True)
    with pytest.raises(
        StoreError, match=r"searching .* failed .*expected dim: 16, got 3"
    ) as caught:
        shard.query(np.ones((1, 3), np.float32), 1, None, exact=True)
    assert "\n" not in str(caught.value)
    shard.close()
    with pytest.raises(StoreError, match="not initialized"):
        shard.count()
    with pytest.raises(StoreError, match="opening"):
        Shard(tmp_path / "none", DIM, exact_up_to=100, new=False)
    # A bug of ours is not reported as an error of the engine.
    with pytest.raises(TypeError):
        shard.query(np.ones((1, DIM), np.float32), "ten", None, exact=True)  # type: ignore[arg-type]
