"""The checks of a finished collection, and its metadata."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from titles import ALIAS, COUNT, POINTS, TITLES, batch, build, encoder_info, metadata, unit_vectors

from jobsearch.errors import CollectionMismatch
from jobsearch.store import CollectionMetadata, PointBatch, Store, check_collection, open_store
from jobsearch.store.lifecycle import check_build, outdated_builds
from jobsearch.types import VectorStorage


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(open_store(":memory:")) as opened:
        build(opened, POINTS)
        yield opened


def patch_scroll(monkeypatch: pytest.MonkeyPatch, store: Store, points: PointBatch) -> None:
    monkeypatch.setattr(store, "scroll", lambda name: iter([points]))


def test_an_intact_collection(store: Store) -> None:
    assert check_build(store, ALIAS) == []


def test_missing_points(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "count", lambda name: COUNT - 1)
    assert check_build(store, ALIAS) == [
        "59 points, 60 expected",
        "60 points could be read, 59 counted",
    ]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_of_wrong_length(
    store: Store, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    vectors = POINTS.vectors.copy()
    vectors[[3, 9]] = value
    patch_scroll(monkeypatch, store, replace(POINTS, vectors=vectors))
    assert check_build(store, ALIAS) == ["2 vectors are not finite and of unit length"]


def test_vectors_of_other_points(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # The stored points are far from these vectors, which have their ids.
    patch_scroll(monkeypatch, store, replace(POINTS, vectors=-POINTS.vectors))
    monkeypatch.setattr("jobsearch.store.lifecycle._SAMPLE_DEPTH", 5)
    assert check_build(store, ALIAS) == [
        "60 of 60 sampled points are not found by their own vector"
    ]


def test_a_title_shared_by_more_concepts_than_the_query_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobsearch.store.lifecycle._SAMPLE_DEPTH", 5)
    with closing(open_store(":memory:")) as store:
        build(store, batch(TITLES, np.repeat(unit_vectors(1), COUNT, axis=0)))
        assert check_build(store, ALIAS) == []


def test_metadata_round_trip() -> None:
    ready = replace(metadata(COUNT), status="ready", previous="jobs__x")
    assert CollectionMetadata.from_dict(ready.as_dict()) == ready
    assert all(isinstance(v, str | int | bool) for v in ready.as_dict().values())


def test_metadata_with_origins_and_of_old_versions() -> None:
    [entry] = metadata(COUNT).sources
    origins = replace(metadata(COUNT), sources=(replace(entry, origin="/d1/jobs.csv"),))
    origins = replace(origins, directory="/models/a")
    read = CollectionMetadata.from_dict(origins.as_dict())
    assert (read.sources[0].origin, read.directory) == ("/d1/jobs.csv", "/models/a")
    old = metadata(COUNT).as_dict()
    [stored] = json.loads(old["sources"])
    del stored["origin"]
    read = CollectionMetadata.from_dict({**old, "sources": json.dumps([stored])})
    assert (read.sources[0].origin, read.directory) == (None, None)


def test_metadata_that_leave_the_storage_out() -> None:
    """As point files for a collection whose storage decides, and collections of old versions."""
    left_out = replace(metadata(COUNT), storage=VectorStorage("int8"))
    data = left_out.as_dict()
    assert "on_disk" not in data
    assert CollectionMetadata.from_dict(data) == left_out
    del data["quantization"]
    assert CollectionMetadata.from_dict(data).storage == VectorStorage()


def sources(**change: Any) -> str:
    [entry] = json.loads(metadata(COUNT).as_dict()["sources"])
    return json.dumps([{**entry, **change}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "version 2, and this jobsearch reads version 1"),
        ({"schema_version": None}, "version None"),
        ({"sources": "[{}]"}, "cannot be read"),
        ({"sources": "["}, "cannot be read"),
        ({"sources": "3"}, "cannot be read"),
        ({"sources": "[" * 200_000}, "cannot be read"),
        ({"sources": sources(points="many")}, "points is 'many'"),
        ({"sources": sources(points=-1)}, "a number of points is negative"),
        ({"sources": sources(source=None)}, "source is None"),
        ({"created_at": "garbage"}, "'garbage'"),
        ({"created_at": 1764151200}, "created_at is 1764151200"),
        ({"created_at": "2026-11-23T10:15:00"}, "without an offset"),
        ({"created_by": "\ud800"}, "surrogates not allowed"),
        ({"dim": "512"}, "dim is '512'"),
        ({"dim": True}, "dim is True"),
        ({"dim": -1}, "dim is -1"),
        ({"dim": 65_537}, "dim is 65537"),
        ({"expected_points": -1}, "a number of points is negative"),
        ({"status": "done"}, "status is 'done'"),
        ({"status": ["ready"]}, r"status is \['ready'\]"),
        ({"variant": "other"}, "variant is 'other'"),
        ({"quantization": "int4"}, "quantization is 'int4'"),
        ({"on_disk": "no"}, "on_disk is 'no'"),
        ({"language": 7}, "language is 7"),
        ({"previous": None}, "previous is None"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_metadata_that_cannot_be_read(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CollectionMismatch, match=f"{message}.*: ingest it again"):
        CollectionMetadata.from_dict({**metadata(1).as_dict(), **change})


def test_check_collection() -> None:
    ready = replace(metadata(COUNT), status="ready")
    check_collection("c", ready, language="en", encoder=encoder_info())
    twin = replace(encoder_info(), variant="finetuned", weights_sha256="d" * 64)
    with pytest.raises(CollectionMismatch) as caught:
        check_collection("c", metadata(COUNT), language="es", encoder=twin)
    message = str(caught.value)
    assert "its language is en, not es" in message
    assert "its build is not complete" in message
    assert "variant is 'pretrained', the encoder has 'finetuned'" in message
    assert "weights_sha256 is 'aaaaaaaaaaa…, the encoder has 'ddddddddddd…" in message


BUILDS = [f"{ALIAS}__2026112{day}t101500000000_1a2b3c4d" for day in range(1, 6)]


@pytest.mark.parametrize(
    ("current", "previous", "dropped"),
    [
        (5, 4, [1, 2, 3]),
        (2, 1, []),
        (1, 0, []),
        # A build before the previous one goes, even if it is newer than that.
        (5, 2, [1, 3, 4]),
        # A build that was finished after the current one may be about to take over.
        (3, 2, [1]),
        (3, 5, [1, 2]),
    ],
)
def test_which_builds_are_outdated(current: int, previous: int, dropped: list[int]) -> None:
    others = [name.replace("__en__", "__de__") for name in BUILDS]
    named = {0: "", **dict(enumerate(BUILDS, start=1))}
    found = outdated_builds(ALIAS, named[current], named[previous], [*others, *BUILDS])
    assert found == [named[number] for number in dropped]
