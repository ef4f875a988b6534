"""The contract of the ``Store`` protocol: one suite that runs with every engine."""

import json
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from titles import (
    ALIAS,
    COUNT,
    DIM,
    POINTS,
    TITLES,
    VECTORS,
    alias_for,
    batch,
    build,
    encoder_info,
    metadata,
    unit_vectors,
)

from jobsearch.errors import (
    CollectionChanged,
    CollectionExists,
    CollectionInUse,
    CollectionMismatch,
    CollectionNotFound,
    InvalidInput,
    StoreDamaged,
    StoreError,
)
from jobsearch.store import PointBatch, ScoredPoint, Store
from jobsearch.store.lifecycle import unused_builds
from jobsearch.store.metadata import build_name
from jobsearch.store.server.store import ServerStore
from jobsearch.types import Filters
from jobsearch.vectors import Vectors


@pytest.fixture
def alias(store: Store, model: str) -> str:
    """An alias of a collection with all ``TITLES``."""
    build(store, POINTS, model)
    return alias_for(model)


def nearest_by_hand(vector: Vectors, rows: list[int], limit: int) -> list[str]:
    scored = sorted((-float(VECTORS[i] @ vector), POINTS.ids[i]) for i in rows)
    return [point_id for _, point_id in scored[:limit]]


def ids(points: list[ScoredPoint]) -> list[str]:
    return [point.id for point in points]


# Building


def test_a_build_from_create_to_swap(store: Store, model: str) -> None:
    name = build_name(alias_for(model), encoder_info(model))
    store.create(name, metadata(COUNT, model))
    assert store.describe(name).metadata.status == "building"
    assert store.describe(name).points == 0
    store.upsert(name, PointBatch(POINTS.ids[:40], VECTORS[:40], POINTS.payloads[:40]))
    store.upsert(name, PointBatch(POINTS.ids[40:], VECTORS[40:], POINTS.payloads[40:]))
    assert store.count(name) == COUNT
    store.finish(name, metadata(COUNT, model))
    assert alias_for(model) not in store.aliases()
    store.swap_alias(alias_for(model), name, expected=None)

    assert store.aliases()[alias_for(model)] == name
    info = store.describe(alias_for(model))
    assert info == store.describe(name)
    assert (info.name, info.aliases, info.points) == (name, (alias_for(model),), COUNT)
    assert info.metadata == replace(metadata(COUNT, model), status="ready")
    assert [each for each in store.collections() if each.metadata.encoder.model == model] == [info]
    assert store.verify(alias_for(model)) == []


def test_a_second_upsert_replaces(store: Store, model: str) -> None:
    name = build_name(alias_for(model), encoder_info(model))
    store.create(name, metadata(2, model))
    store.upsert(name, PointBatch(POINTS.ids[:2], VECTORS[:2], POINTS.payloads[:2]))
    store.upsert(name, PointBatch(POINTS.ids[:1], VECTORS[5:6], [{"title": "new"}]))
    store.finish(name, metadata(2, model))
    [hits] = store.query(name, VECTORS[5:6], limit=1)
    assert ids(hits) == [POINTS.ids[0]]
    assert hits[0].payload == {"title": "new"}
    assert store.count(name) == 2


def test_an_existing_name_is_refused(store: Store, alias: str, model: str) -> None:
    name = store.aliases()[alias]
    with pytest.raises(CollectionExists, match=name):
        store.create(name, metadata(0, model))
    assert store.count(alias) == COUNT


@pytest.mark.parametrize("name", ["../../etc", "jobs", "jobs__en__M__pretrained__1", ""])
def test_invalid_names_are_refused(store: Store, model: str, name: str) -> None:
    with pytest.raises(ValueError, match="name of a build"):
        store.create(name, metadata(0, model))


@pytest.fixture(scope="module")
def unfinished(filled: Store) -> str:
    """A build with one point so far."""
    name = build_name(ALIAS, encoder_info())
    filled.create(name, metadata(1))
    filled.upsert(name, PointBatch(POINTS.ids[:1], VECTORS[:1], POINTS.payloads[:1]))
    return name


def broken(vectors: Vectors, value: float) -> Vectors:
    copy = vectors.copy()
    copy[7, 3] = value
    return copy


BAD_POINTS = {
    "nan": replace(POINTS, vectors=broken(VECTORS, math.nan)),
    "infinite": replace(POINTS, vectors=broken(VECTORS, math.inf)),
    "not unit": replace(POINTS, vectors=VECTORS * np.float32(1.01)),
    "zero": replace(POINTS, vectors=np.zeros_like(VECTORS)),
    "other dimension": replace(POINTS, vectors=unit_vectors(COUNT, DIM + 1)),
    "one row": replace(POINTS, vectors=VECTORS[0]),
    "float64": replace(POINTS, vectors=VECTORS.astype(np.float64)),
    "a list": replace(POINTS, vectors=VECTORS.tolist()),
    "fewer ids": replace(POINTS, ids=POINTS.ids[:-1]),
    "fewer payloads": replace(POINTS, payloads=POINTS.payloads[:-1]),
    "no uuid": replace(POINTS, ids=[*POINTS.ids[:-1], "title 59"]),
}


@pytest.mark.parametrize("points", BAD_POINTS.values(), ids=BAD_POINTS.keys())
def test_invalid_points_are_not_written(filled: Store, unfinished: str, points: PointBatch) -> None:
    with pytest.raises(ValueError, match=r"vectors|payloads|UUID"):
        filled.upsert(unfinished, points)
    assert filled.count(unfinished) == 1


def test_a_build_with_a_wrong_count_cannot_be_finished(store: Store, model: str) -> None:
    name = build_name(alias_for(model), encoder_info(model))
    store.create(name, metadata(COUNT, model))
    store.upsert(name, PointBatch(POINTS.ids[:9], VECTORS[:9], POINTS.payloads[:9]))
    with pytest.raises(StoreDamaged, match="9 points, 60 expected"):
        store.finish(name, metadata(COUNT, model))
    assert store.describe(name).metadata.status == "building"
    with pytest.raises(StoreError, match="not complete"):
        store.swap_alias(alias_for(model), name, expected=None)
    assert store.verify(name) == ["its build is not complete"]
    store.drop(name)
    assert alias_for(model) not in store.aliases()


def test_a_finished_build_cannot_be_changed(store: Store, alias: str, model: str) -> None:
    with pytest.raises(StoreError, match="is finished"):
        store.upsert(store.aliases()[alias], POINTS)
    with pytest.raises(StoreError, match="is finished"):
        store.finish(store.aliases()[alias], metadata(COUNT, model))


def test_an_empty_build(store: Store, model: str) -> None:
    name = build(store, batch([], np.empty((0, DIM), np.float32)), model)
    assert store.count(name) == 0
    assert store.query(name, VECTORS[:2], limit=3) == [[], []]
    assert list(store.scroll(name)) == []
    assert store.verify(name) == []


# Reading


@pytest.mark.parametrize("exact", [False, True], ids=["default", "exact"])
def test_nearest_points_in_order(filled: Store, exact: bool) -> None:
    queries = unit_vectors(5, seed=1)
    found = filled.query(ALIAS, queries, limit=10, exact=exact)
    assert [ids(row) for row in found] == [
        nearest_by_hand(vector, list(range(COUNT)), 10) for vector in queries
    ]
    cosines = dict(zip(POINTS.ids, VECTORS @ queries[0], strict=True))
    assert [p.score for p in found[0]] == pytest.approx([cosines[p.id] for p in found[0]], abs=1e-6)
    payloads = dict(zip(POINTS.ids, POINTS.payloads, strict=True))
    assert [p.payload for p in found[0]] == [payloads[p.id] for p in found[0]]


def test_single_queries_equal_a_batch(filled: Store) -> None:
    queries = unit_vectors(70, seed=2)
    together = filled.query(ALIAS, queries, limit=3)
    single = [filled.query(ALIAS, row[np.newaxis], limit=3)[0] for row in queries]
    assert [ids(row) for row in together] == [ids(row) for row in single]


def test_limits(filled: Store) -> None:
    assert len(filled.query(ALIAS, VECTORS[:1], limit=1)[0]) == 1
    everything = filled.query(ALIAS, VECTORS[:1], limit=1000)[0]
    assert ids(everything) == nearest_by_hand(VECTORS[0], list(range(COUNT)), COUNT)
    assert filled.query(ALIAS, np.empty((0, DIM), np.float32), limit=1) == []
    with pytest.raises(ValueError, match="limit is 0"):
        filled.query(ALIAS, VECTORS[:1], limit=0)


def test_the_threshold_is_inclusive(filled: Store) -> None:
    [hits_without_threshold] = filled.query(ALIAS, VECTORS[:1], limit=10)
    cut = hits_without_threshold[4].score
    [hits] = filled.query(ALIAS, VECTORS[:1], limit=10, score_threshold=cut)
    assert ids(hits) == ids(hits_without_threshold)[:5]
    assert filled.query(ALIAS, -VECTORS[:1], limit=COUNT, score_threshold=1.0) == [[]]


def test_scores_are_at_most_1(filled: Store) -> None:
    hits = [row[0] for row in filled.query(ALIAS, VECTORS, limit=1)]
    assert [hit.id for hit in hits] == list(POINTS.ids)
    assert all(1 - 1e-6 < hit.score <= 1 for hit in hits)


def test_ties_are_sorted_by_id_also_at_the_limit(store: Store, model: str) -> None:
    # 40 titles share one vector, more than the initial depth of a query; 20 have others.
    shared = np.concatenate([np.repeat(VECTORS[:1], 40, axis=0), VECTORS[40:]])
    name = build(store, batch(TITLES, shared), model)
    best = sorted(POINTS.ids[:40])
    for limit in (1, 5, 39, 40):
        [hits] = store.query(name, VECTORS[:1], limit=limit)
        assert len({hit.score for hit in hits}) == 1
        assert ids(hits) == best[:limit]


FILTERS = {
    "major group": (Filters(isco=("2",)), range(COUNT)),
    "no such group": (Filters(isco=("9",)), []),
    "minor group": (Filters(isco=("226",)), range(COUNT)),
    "unit group": (Filters(isco=("2262",)), [i for i in range(COUNT) if i % 5 == 1]),
    "two depths": (Filters(isco=("2262", "31")), [i for i in range(COUNT) if i % 5 == 1]),
    "concepts": (
        Filters(concept_ids=tuple(f"http://data.europa.eu/esco/occupation/{n}" for n in (0, 19))),
        [0, 1, 2, 57, 58, 59],
    ),
    "kind": (Filters(kinds=("hidden",)), range(0, COUNT, 10)),
    "either kind": (Filters(kinds=("hidden", "preferred")), range(COUNT)),
    "source": (Filters(sources=("customer",)), range(0, COUNT, 2)),
    "split": (Filters(splits=("validation",)), range(0, COUNT, 4)),
    "language": (Filters(languages=("en",)), range(COUNT)),
    "other language": (Filters(languages=("de",)), []),
    "without concepts": (
        Filters(without_concepts=("http://data.europa.eu/esco/occupation/0", "none")),
        range(3, COUNT),
    ),
    "a source without a concept": (
        Filters(sources="customer", without_concepts="http://data.europa.eu/esco/occupation/1"),
        [i for i in range(0, COUNT, 2) if i != 4],
    ),
    "all of them": (
        Filters(isco=("2261",), kinds=("preferred",), sources=("esco",), languages=("en",)),
        range(5, COUNT, 10),
    ),
    "no conditions": (Filters(), range(COUNT)),
    "syntax is data": (Filters(concept_ids=('*", "x": {"', "') OR 1=1 --", "isco[]")), []),
}


@pytest.mark.parametrize(("filters", "rows"), FILTERS.values(), ids=FILTERS.keys())
def test_filters(filled: Store, filters: Filters, rows: list[int]) -> None:
    rows = list(rows)
    passed = {POINTS.ids[i] for i in rows}
    assert filled.count(ALIAS, filters) == len(rows)
    assert [i for part in filled.scroll(ALIAS, filters) for i in part.ids] == sorted(passed)
    [hits] = filled.query(ALIAS, VECTORS[:1], limit=7, filters=filters)
    assert ids(hits) == nearest_by_hand(VECTORS[0], rows, 7)
    [hits] = filled.query(ALIAS, VECTORS[:1], limit=COUNT, filters=filters, exact=True)
    assert ids(hits) == nearest_by_hand(VECTORS[0], rows, COUNT)


SYNTAX = ["*", "%", ".*", '"', "'", '{"any": ["esco"]}', "esco OR 1=1", "ESCO", "esco\x00"]


@pytest.mark.parametrize("value", SYNTAX)
def test_filter_values_are_data(filled: Store, value: str) -> None:
    assert filled.count(ALIAS, Filters(sources=(value,))) == 0
    known = filled.count(ALIAS, Filters(sources=("esco",)))
    assert 0 < known < COUNT
    assert filled.count(ALIAS, Filters(sources=(value, "esco"))) == known


@pytest.mark.parametrize("values", [("\udcff",), ("esco", "\ud800")])
def test_filter_values_that_are_not_valid_unicode(filled: Store, values: tuple[str, ...]) -> None:
    filters = Filters(sources=values)
    for use in (
        lambda: filled.count(ALIAS, filters),
        lambda: filled.query(ALIAS, VECTORS[:1], limit=1, filters=filters),
        lambda: list(filled.scroll(ALIAS, filters)),
    ):
        with pytest.raises(InvalidInput, match="is not valid Unicode"):
            use()


@pytest.mark.parametrize("batch_size", [1, 7, 59, 60, 61, 1000])
def test_scroll_returns_every_point(filled: Store, batch_size: int) -> None:
    parts = list(filled.scroll(ALIAS, batch_size=batch_size))
    assert max(map(len, parts)) == min(batch_size, COUNT)
    order = np.argsort(POINTS.ids)
    assert [i for part in parts for i in part.ids] == [POINTS.ids[row] for row in order]
    vectors = np.concatenate([part.vectors for part in parts])
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(VECTORS[order], abs=1e-6)
    assert [p for part in parts for p in part.payloads] == [POINTS.payloads[r] for r in order]


@pytest.mark.parametrize(
    "vectors",
    [VECTORS[:1] * 2, unit_vectors(1, DIM + 1), VECTORS[0], VECTORS[:1].astype(np.float64)],
    ids=["not unit", "other dimension", "one row", "float64"],
)
def test_invalid_query_vectors(filled: Store, vectors: Vectors) -> None:
    with pytest.raises(ValueError, match="vectors"):
        filled.query(ALIAS, vectors, limit=3)


USES = {
    "describe": lambda store, name: store.describe(name),
    "query": lambda store, name: store.query(name, VECTORS[:1], limit=1),
    "count": lambda store, name: store.count(name),
    "scroll": lambda store, name: list(store.scroll(name)),
    "verify": lambda store, name: store.verify(name),
    "drop": lambda store, name: store.drop(name),
    "rollback": lambda store, name: store.rollback(name),
    "swap_alias": lambda store, name: store.swap_alias("jobs__xx", name, expected=None),
    "upsert": lambda store, name: store.upsert(name, POINTS),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_the_error_for_a_missing_collection(filled: Store, use) -> None:  # type: ignore[no-untyped-def]
    missing = "jobs__fr__none__pretrained"
    with pytest.raises(CollectionNotFound) as caught:
        use(filled, missing)
    message = str(caught.value)
    assert missing in message
    assert filled.location in message
    assert ALIAS in message
    assert "jobsearch ingest" in message
    assert "\n" not in message


# Replacing and dropping


def test_a_new_build_replaces_the_live_one_which_is_kept_as_previous(
    store: Store, model: str
) -> None:
    alias = alias_for(model)
    first = build(store, POINTS, model)
    second = build(store, batch(TITLES[:30], VECTORS[:30]), model)
    assert store.aliases()[alias] == second
    assert store.describe(second).metadata.previous == first
    assert store.count(alias) == 30
    assert store.count(first) == COUNT
    third = build(store, batch(TITLES[:20], VECTORS[:20]), model)
    assert store.describe(alias).name == third
    assert store.count(second) == 30
    with pytest.raises(CollectionNotFound):
        store.describe(first)


def test_builds_of_another_alias_are_kept(store: Store, model: str) -> None:
    for each in (f"{model}-other", model, model, model):
        build(store, POINTS, each)
    other = store.describe(alias_for(f"{model}-other"))
    assert other.points == COUNT
    store.drop(store.describe(alias_for(model)).metadata.previous)
    aliases = [name for name in store.aliases() if model in name]
    assert sorted(aliases) == sorted([alias_for(model), alias_for(f"{model}-other")])


def test_the_slower_of_two_builders_fails(store: Store, model: str) -> None:
    alias = alias_for(model)
    slow = build(store, POINTS, model, live=False)
    fast = build(store, POINTS, model)
    with pytest.raises(CollectionChanged, match=fast):
        store.swap_alias(alias, slow, expected=None)
    with pytest.raises(CollectionChanged, match="nothing"):
        store.swap_alias(alias_for(f"{model}-new"), slow, expected=fast)
    assert store.aliases()[alias] == fast


def test_swapping_to_the_current_build_changes_nothing(store: Store, alias: str) -> None:
    name = store.aliases()[alias]
    store.swap_alias(alias, name, expected=name)
    assert store.describe(alias).metadata.previous == ""


def test_a_second_rollback_undoes_the_first(store: Store, model: str) -> None:
    alias = alias_for(model)
    old = build(store, POINTS, model)
    new = build(store, batch(TITLES[:30], VECTORS[:30]), model)
    assert store.rollback(alias) == old
    assert store.describe(alias).name == old
    assert store.describe(alias).metadata.previous == new
    assert store.count(alias) == COUNT
    assert store.rollback(alias) == new
    assert store.count(alias) == 30
    assert store.verify(alias) == []


def test_a_build_after_a_rollback_keeps_the_build_that_it_replaces(
    store: Store, model: str
) -> None:
    old = build(store, POINTS, model)
    bad = build(store, POINTS, model)
    store.rollback(alias_for(model))
    new = build(store, POINTS, model)
    assert store.rollback(alias_for(model)) == old
    assert store.describe(old).metadata.previous == new
    with pytest.raises(CollectionNotFound):
        store.describe(bad)


def test_an_alias_is_not_denied_where_a_build_is_needed(store: Store, alias: str) -> None:
    live = store.aliases()[alias]
    with pytest.raises(StoreError, match=f"{alias} is an alias, whose live build {live} cannot"):
        store.drop(alias)
    with pytest.raises(CollectionNotFound, match=f"{live} is a build, not an alias: give {alias}"):
        store.rollback(live)
    assert store.aliases()[alias] == live
    missing = f"{alias}__20200101t000000000000_00000000"
    with pytest.raises(CollectionNotFound, match=rf"no collection {missing} in .*{live}"):
        store.drop(missing)


def test_rollback_without_a_previous_build(store: Store, alias: str, model: str) -> None:
    with pytest.raises(CollectionNotFound, match="no build before"):
        store.rollback(alias)
    build(store, POINTS, model)
    store.drop(store.describe(alias).metadata.previous)
    with pytest.raises(CollectionNotFound, match="no build before"):
        store.rollback(alias)


def test_drop(store: Store, alias: str, model: str) -> None:
    name = store.aliases()[alias]
    with pytest.raises(StoreError, match=f"in use as {alias}"):
        store.drop(name)
    assert store.count(alias) == COUNT
    build(store, POINTS, model)
    store.drop(name)
    with pytest.raises(CollectionNotFound):
        store.count(name)
    assert store.count(alias) == COUNT


def unused(store: Store, model: str, **options: Any) -> list[str]:
    own = [info for info in store.collections() if f"__{model}__" in info.name]
    return unused_builds(own, **{"older_than_h": 24.0, "previous": False, **options})


def test_a_finished_build_that_is_not_yet_live_is_kept(store: Store, model: str) -> None:
    first = build(store, POINTS, model)
    live = build(store, POINTS, model)
    coming = build(store, POINTS, model, live=False)
    # A server replaces the time: the builder took over the build at that time.
    recent = datetime.fromisoformat(store.describe(coming).metadata.created_at)
    age_h = (datetime.now(UTC) - recent) / timedelta(hours=1)
    assert unused(store, model, older_than_h=age_h + 1) == []
    assert unused(store, model, older_than_h=age_h + 1, previous=True) == [first]
    assert unused(store, model, older_than_h=0) == [coming]
    store.swap_alias(alias_for(model), coming, expected=live)
    assert unused(store, model, older_than_h=0) == []
    assert unused(store, model, older_than_h=0, previous=True) == [live]
    # After a rollback, the later build is the previous one.
    store.rollback(alias_for(model))
    assert unused(store, model, older_than_h=0) == []
    assert unused(store, model, older_than_h=0, previous=True) == [coming]


def test_the_first_build_of_an_alias_is_kept_until_it_is_live(store: Store, model: str) -> None:
    name = build(store, POINTS, model, live=False)
    began = datetime.fromisoformat(store.describe(name).metadata.created_at)
    age_h = (datetime.now(UTC) - began) / timedelta(hours=1)
    assert unused(store, model, older_than_h=age_h + 1, previous=True) == []
    assert unused(store, model, older_than_h=0, previous=True) == [name]


@pytest.mark.parametrize("store", ["edge", "rest"], indirect=True)
def test_a_collection_that_cannot_be_read_is_left_out(
    store: Store, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = [build(store, POINTS, f"{model}{end}") for end in "abc"]
    make_unreadable(store, names[1])
    with caplog.at_level(logging.WARNING, "jobsearch"):
        listed = [info.name for info in store.collections()]
    assert listed == [names[0], names[2]]
    [warning] = caplog.messages
    assert warning.startswith(f"{names[1]} is left out: the collection has metadata of version 99")
    with pytest.raises(CollectionMismatch, match="metadata of version 99"):
        store.describe(names[1])
    assert store.count(alias_for(f"{model}c")) == COUNT
    with pytest.raises(CollectionInUse):
        store.drop(names[1])


def make_unreadable(store: Store, name: str) -> None:
    """Give a collection the metadata of another version."""
    if isinstance(store, ServerStore):
        store._control.update_collection(name, metadata={"schema_version": 99})
        return
    manifest = Path(store.location, "manifest.json")
    data = json.loads(manifest.read_text())
    data["collections"][name]["metadata"]["schema_version"] = 99
    manifest.write_text(json.dumps(data))


def test_a_store_has_no_leftovers(store: Store, alias: str, model: str) -> None:
    old = store.aliases()[alias]
    build(store, POINTS, model)
    store.drop(old)
    assert store.leftovers() == []
