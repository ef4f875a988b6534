from pathlib import Path

import numpy as np
import pytest

from jobsearch.search.full_ranking import exact_rankings, read_points
from jobsearch.store import CollectionMetadata, PointBatch, Store, open_store
from jobsearch.types import EncoderInfo, Filters, TitleRecord
from jobsearch.vectors import Vectors

DIM = 64
NAME = "eval-x__en__fake__pretrained__20261123t101500123456_1a2b3c4d"
BEGUN = "2026-11-23T10:15:00+00:00"
ENGLISH = Filters(sources=("even",))


def coarse_vectors(count: int, seed: int) -> Vectors:
    """Unit vectors whose products are exact in any order of summation, with many ties."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(count, DIM))
    return (signs / 8).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    drawn = coarse_vectors(400, 1)
    drawn[300:] = drawn[:100]  # titles that several documents share
    return drawn


@pytest.fixture(params=["edge", "memory"], scope="module")
def store(
    request: pytest.FixtureRequest, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory
) -> Store:
    where = ":memory:" if request.param == "memory" else str(tmp_path_factory.mktemp("store"))
    return filled(where, vectors)


def filled(where: str, vectors: Vectors) -> Store:
    """A store with one collection of these vectors."""
    store = open_store(where)
    info = EncoderInfo("fake", "pretrained", "fake", "", "00", "11", DIM, "mean")
    metadata = CollectionMetadata("en", info, (), len(vectors), "building", BEGUN, "test")
    records = [
        TitleRecord(f"title {n}", "en", ("even", "odd")[n % 2], "corpus", doc_id=str(n))
        for n in range(len(vectors))
    ]
    store.create(NAME, metadata)
    store.upsert(
        NAME, PointBatch([r.point_id for r in records], vectors, [r.payload("r") for r in records])
    )
    store.finish(NAME, metadata)
    return store


@pytest.mark.parametrize("filters", [None, ENGLISH], ids=["all", "filtered"])
def test_both_ways_agree(store: Store, filters: Filters | None) -> None:
    queries = coarse_vectors(40, 2)
    points = read_points(store, [NAME], filters)
    assert len(points) == (400 if filters is None else 200)
    asked = store.query(NAME, queries, limit=len(points), filters=filters, exact=True)
    rankings = list(exact_rankings(points, queries))
    assert len(rankings) == 40
    for hits, ranking in zip(asked, rankings, strict=True):
        assert [points.ids[place] for place in ranking.places] == [hit.id for hit in hits]
        np.testing.assert_allclose(ranking.scores, [hit.score for hit in hits], atol=1e-5)


def unit_vectors(count: int, seed: int) -> Vectors:
    """Unit vectors whose products depend on the order of summation."""
    drawn = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("where", ["edge", "memory"])
def test_both_ways_agree_where_products_are_rounded(where: str, tmp_path: Path) -> None:
    drawn = unit_vectors(400, 8)
    drawn[300:] = drawn[:100]
    store = filled(":memory:" if where == "memory" else str(tmp_path / "store"), drawn)
    queries = unit_vectors(20, 9)
    points = read_points(store, [NAME])
    twins: dict[bytes, set[int]] = {}
    for place, vector in enumerate(points.vectors):
        twins.setdefault(vector.tobytes(), set()).add(place)
    place_of = {point_id: place for place, point_id in enumerate(points.ids)}
    engine = store.query(NAME, queries, limit=len(points), exact=True)
    near_ties = 0
    for hits, ranking in zip(engine, exact_rankings(points, queries), strict=True):
        asked = [place_of[hit.id] for hit in hits]
        places, start = ranking.places.tolist(), 0
        # Cut where two scores differ by more than rounding: each piece holds the same points.
        for end in [*(np.flatnonzero(np.diff(ranking.scores) < -1e-6) + 1), len(places)]:
            piece = places[start:end]
            assert sorted(asked[start:end]) == sorted(piece)
            if set(piece) == twins[points.vectors[piece[0]].tobytes()]:
                # Points are sorted by id, so twins rank in ascending order, in the engine too.
                assert asked[start:end] == piece == sorted(piece)
            else:
                near_ties += 1
            start = end
        np.testing.assert_allclose(ranking.scores, [hit.score for hit in hits], atol=1e-6)
    assert near_ties < 100, "nearly all of 6,000 distinct scores were compared in order"


def test_depth(store: Store) -> None:
    queries = coarse_vectors(3, 3)
    points = read_points(store, [NAME])
    whole = list(exact_rankings(points, queries))
    for full, cut in zip(whole, exact_rankings(points, queries, depth=7), strict=True):
        assert cut.places.tolist() == full.places[:7].tolist()
        assert cut.scores.tolist() == full.scores[:7].tolist()


def test_equal_vectors_score_equal_wherever_they_stand() -> None:
    # Sizes at which blocks of a matrix product end differently.
    rng = np.random.default_rng(4)
    drawn = rng.normal(size=(1009, 37)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    drawn[1::2] = drawn[0]
    points = PointBatch([f"{n:04}" for n in range(len(drawn))], drawn, [{}] * len(drawn))
    for ranking in exact_rankings(points, drawn[2:30:2]):
        same = [p for p in ranking.places.tolist() if p % 2 or p == 0]
        assert same == sorted(same)
        alike = np.flatnonzero(np.isin(ranking.places, same))
        assert np.array_equal(alike, np.arange(alike[0], alike[0] + len(same)))
        assert len(set(ranking.scores[alike].tolist())) == 1


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, queries = coarse_vectors(50, 5), coarse_vectors(9, 6)
    points = PointBatch([f"{n:02}" for n in range(50)], drawn, [{}] * 50)
    whole = [r.places.tolist() for r in exact_rankings(points, queries)]
    monkeypatch.setattr("jobsearch.search.full_ranking._CHUNK_SCORES", 100)
    assert [r.places.tolist() for r in exact_rankings(points, queries)] == whole


def test_nothing_passes_the_filter(store: Store) -> None:
    points = read_points(store, [NAME], Filters(sources=("none",)))
    assert points.vectors.shape == (0, DIM)
    (ranking,) = exact_rankings(points, coarse_vectors(1, 7))
    assert len(ranking.places) == 0
