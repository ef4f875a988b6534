"""The whole path: what is stored, what is kept, and that a failure changes nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import pipeline
from ingest.pipeline import ingest
from ingest.sources import EscoSource, TableSource
from jobsearch.errors import (
    CollectionChanged,
    CollectionMismatch,
    InvalidInput,
    LanguageMismatch,
    StoreDamaged,
    StoreError,
    TooManyRejects,
)
from jobsearch.store import PointBatch, Store, open_store
from jobsearch.store.metadata import build_name
from jobsearch.types import Filters, VectorStorage
from jobsearch.vectors import Vectors

Write = Callable[..., Path]
ALIAS = "jobs__en__fake__pretrained"


@pytest.fixture
def table(write: Write) -> TableSource:
    path = write("ours.csv", "job\nwarehouse clerk\nhead of logistics\nschool teacher\n")
    return TableSource(path, title="job", language="en")


def titles(store: Store, name: str = ALIAS) -> list[str]:
    return sorted(p["title"] for batch in store.scroll(name) for p in batch.payloads)


def test_what_is_stored(store: Store, encoder: Any, esco_source: EscoSource) -> None:
    summary = ingest(esco_source, "en", store, encoder)
    assert summary.as_dict() == {
        "source": "esco", "split": "", "language": "en",
        "rows_read": 4, "rows_rejected": 0,
        "titles": 14, "duplicates": 1, "distinct_texts": 12, "points": 13, "total_points": 13,
        "kept_sources": [], "seconds": summary.seconds,
        "titles_per_s": pytest.approx(14 / summary.seconds),
        "collection": store.aliases()[ALIAS], "alias": ALIAS,
        "rejects_file": None, "language_checked": True, "unchanged": False,
    }  # fmt: skip
    json.dumps(summary.as_dict())
    # every distinct text once; two concepts with the same title stay two points
    assert len(encoder.documents) == len(set(encoder.documents)) == 12
    assert titles(store).count("school teacher") == 2
    hits = store.query(ALIAS, encoder.encode_queries(["waiter"]), limit=1)[0]
    assert hits[0].payload == {
        "title": "waiter", "language": "en", "source": "esco", "kind": "preferred",
        "concept_id": "urn:2", "isco": "5131",
        "run_id": summary.collection.rsplit("__", 1)[1],
    }  # fmt: skip
    metadata = store.describe(ALIAS).metadata
    assert (metadata.status, metadata.expected_points) == ("ready", 13)
    assert [(s.source, s.version, s.points) for s in metadata.sources] == [("esco", "1.2.0", 13)]
    assert metadata.sources[0].sha256 == esco_source.sha256("en")
    assert metadata.created_by.startswith("jobsearch ")


def test_memory_engine(encoder: Any, esco_source: EscoSource) -> None:
    summary = ingest(esco_source, "de", open_store(":memory:"), encoder)
    assert (summary.points, summary.language_checked) == (16, True)


def test_the_second_run_does_nothing(store: Store, encoder: Any, esco_source: EscoSource) -> None:
    first = ingest(esco_source, "en", store, encoder)
    encoder.documents.clear()
    second = ingest(esco_source, "en", store, encoder)
    assert (second.unchanged, second.points, second.total_points) == (True, 13, 13)
    assert (second.collection, second.rows_read, second.titles_per_s) == (first.collection, 0, 0)
    assert encoder.documents == []
    forced = ingest(esco_source, "en", store, encoder, force=True)
    assert not forced.unchanged
    assert store.aliases() == {ALIAS: forced.collection}
    assert store.rollback(ALIAS) == first.collection


def test_another_storage_of_the_vectors_is_a_new_build(
    store: Store, encoder: Any, esco_source: EscoSource
) -> None:
    first = ingest(esco_source, "en", store, encoder)
    for storage in (VectorStorage("int8"), VectorStorage("int8", on_disk=True), VectorStorage()):
        changed = ingest(esco_source, "en", store, encoder, storage=storage)
        assert not changed.unchanged
        assert changed.collection != first.collection
        assert store.describe(ALIAS).metadata.storage == storage
        assert ingest(esco_source, "en", store, encoder, storage=storage).unchanged


def test_other_sources_are_kept(
    store: Store, encoder: Any, esco_source: EscoSource, table: TableSource, write: Write
) -> None:
    ingest(esco_source, "en", store, encoder)
    encoder.documents.clear()
    summary = ingest(table, "en", store, encoder)
    assert (summary.points, summary.total_points, summary.kept_sources) == (3, 16, ("esco",))
    assert sorted(encoder.documents) == ["head of logistics", "school teacher", "warehouse clerk"]
    assert store.count(ALIAS, Filters(sources=("esco",))) == 13
    # a table that changed takes the place of its old self only
    write("ours.csv", "job\nwarehouse clerk\n")
    summary = ingest(table, "en", store, encoder)
    assert (summary.points, summary.total_points, summary.kept_sources) == (1, 14, ("esco",))
    sources = store.describe(ALIAS).metadata.sources
    assert [(s.source, s.points) for s in sources] == [("esco", 13), ("ours", 1)]
    assert ingest(esco_source, "en", store, encoder).unchanged


def rebuild_without(store: Store, field: str, value: str) -> None:
    """Replace the live collection by one that lacks points which its sources still count."""
    live = store.describe(ALIAS)
    [points] = store.scroll(ALIAS)
    rows = [row for row, payload in enumerate(points.payloads) if payload[field] != value]
    left = PointBatch(
        [points.ids[row] for row in rows],
        points.vectors[rows],
        [points.payloads[row] for row in rows],
    )
    name = build_name(ALIAS, live.metadata.encoder)
    metadata = replace(live.metadata, expected_points=len(left))
    store.create(name, metadata)
    store.upsert(name, left)
    store.finish(name, metadata)
    store.swap_alias(ALIAS, name, expected=live.name)


def test_kept_sources_are_counted_anew(
    store: Store, encoder: Any, esco_source: EscoSource, table: TableSource
) -> None:
    ingest(esco_source, "en", store, encoder)
    rebuild_without(store, "concept_id", "urn:2")
    assert ingest(table, "en", store, encoder).total_points == 9 + 3
    rebuild_without(store, "source", "esco")
    summary = ingest(table, "en", store, encoder, force=True)
    assert (summary.total_points, summary.kept_sources) == (3, ())


def test_namespaces_languages_and_variants_are_apart(
    store: Store, make_encoder: Callable[..., Any], esco_source: EscoSource
) -> None:
    for namespace, language, variant in (
        ("jobs", "en", "pretrained"), ("jobs", "de", "pretrained"),
        ("jobs", "en", "finetuned"), ("eval-x", "en", "pretrained"),
    ):  # fmt: skip
        encoder = make_encoder(weights=variant, variant=variant)
        ingest(esco_source, language, store, encoder, namespace=namespace)
    assert sorted(store.aliases()) == [
        "eval-x__en__fake__pretrained", "jobs__de__fake__pretrained",
        "jobs__en__fake__finetuned", ALIAS,
    ]  # fmt: skip
    ids = [
        sorted(i for b in store.scroll(f"jobs__en__fake__{v}") for i in b.ids)
        for v in ("pretrained", "finetuned")
    ]
    assert ids[0] == ids[1]


def test_another_encoder_may_replace_but_not_mix(
    store: Store,
    make_encoder: Callable[..., Any],
    esco_source: EscoSource,
    table: TableSource,
) -> None:
    old, new = make_encoder(weights="old"), make_encoder(weights="new")
    ingest(esco_source, "en", store, old)
    # nothing but the source itself is there: it is replaced
    assert not ingest(esco_source, "en", store, new).unchanged
    live = store.aliases()
    with pytest.raises(
        CollectionMismatch,
        match=r"weights_sha256 .*cannot be kept \(esco\): `force=True` drops them",
    ):
        ingest(table, "en", store, old)
    assert store.aliases() == live
    summary = ingest(table, "en", store, old, force=True)
    assert (summary.total_points, summary.kept_sources) == (3, ())


def test_a_damaged_collection_is_replaced_only_if_nothing_else_is_lost(
    tmp_path: Path, encoder: Any, esco_source: EscoSource, table: TableSource
) -> None:
    location = tmp_path / "damaged"
    store = open_store(str(location))
    ingest(esco_source, "en", store, encoder)
    ingest(table, "en", store, encoder)
    store.close()
    for path in location.rglob(f"{ALIAS}*/**/*"):
        if path.is_file():
            path.unlink()
    store = open_store(str(location))
    with pytest.raises(StoreDamaged, match=r"cannot be kept \(esco\): `force=True` drops them"):
        ingest(table, "en", store, encoder)
    assert ingest(table, "en", store, encoder, force=True).total_points == 3
    store.close()


def test_wrong_language_stores_nothing(
    store: Store, encoder: Any, sample_as: Callable[[str, str], EscoSource]
) -> None:
    english_as_spanish = sample_as("en", "es")
    with pytest.raises(LanguageMismatch, match="look English"):
        ingest(english_as_spanish, "es", store, encoder)
    assert (encoder.documents, store.collections()) == ([], [])
    summary = ingest(english_as_spanish, "es", store, encoder, language_check=False)
    assert (summary.language_checked, summary.unchanged) == (False, False)


def test_too_many_rejects_store_nothing(
    store: Store, encoder: Any, esco_source: EscoSource, write: Write, tmp_path: Path
) -> None:
    before = ingest(esco_source, "en", store, encoder)
    path = write("ours.csv", "job\nwarehouse clerk\n?\n")
    bad = TableSource(path, title="job", language="en")
    rejects = tmp_path / "rejects.jsonl"
    with pytest.raises(TooManyRejects, match=r"1 of 2 rows \(50\.0%\)"):
        ingest(bad, "en", store, encoder, rejects_path=rejects)
    assert store.aliases() == {ALIAS: before.collection}
    assert len(store.collections()) == 1
    summary = ingest(bad, "en", store, encoder, rejects_path=rejects, max_rejects=0.5)
    assert (summary.rows_rejected, summary.rejects_file) == (1, str(rejects))


def test_a_language_that_the_source_lacks(
    store: Store, encoder: Any, esco_source: EscoSource
) -> None:
    with pytest.raises(InvalidInput, match="esco has no titles in fr, only in de, en"):
        ingest(esco_source, "fr", store, encoder)


def fails_with(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("create", StoreError("disk full")),
        ("encode", KeyboardInterrupt()),
        ("upsert", StoreError("disk full")),
        ("upsert", KeyboardInterrupt()),
        ("finish", StoreError("disk full")),
        ("query", StoreError("gone")),
        ("swap_alias", StoreError("gone")),
    ],
)
def test_a_failure_at_any_step_leaves_the_live_collection(
    store: Store,
    encoder: Any,
    esco_source: EscoSource,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: BaseException,
) -> None:
    before = ingest(esco_source, "en", store, encoder)
    if step == "encode":
        monkeypatch.setattr(encoder, "encode_document_batches", fails_with(error))
    else:
        monkeypatch.setattr(store, step, fails_with(error))
    with pytest.raises(type(error)):
        ingest(esco_source, "en", store, encoder, force=True)
    monkeypatch.undo()
    assert store.aliases() == {ALIAS: before.collection}
    assert [info.name for info in store.collections()] == [before.collection]
    assert len(titles(store)) == 13


def test_batches_are_uploaded_while_the_next_is_encoded(
    store: Store, encoder: Any, esco_source: EscoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CHUNK_SIZE", 5)
    uploaded: list[int] = []
    upsert = store.upsert

    def counting(name: str, points: PointBatch) -> None:
        uploaded.append(len(points))
        upsert(name, points)

    monkeypatch.setattr(store, "upsert", counting)
    assert ingest(esco_source, "en", store, encoder).points == 13
    # 5 + 5 + 2 texts; "school teacher" belongs to two concepts
    assert uploaded == [5, 6, 2]
    lengths = [len(text) for text in encoder.documents]
    assert lengths == sorted(lengths, reverse=True)


def test_an_encoder_that_mixes_up_rows_is_found_out(
    store: Store, encoder: Any, esco_source: EscoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = store.upsert

    def shifted(name: str, points: PointBatch) -> None:
        upsert(name, PointBatch(points.ids, np.roll(points.vectors, 1, axis=0), points.payloads))

    monkeypatch.setattr(store, "upsert", shifted)
    with pytest.raises(StoreDamaged, match="does not find its own title"):
        ingest(esco_source, "en", store, encoder)
    assert (store.aliases(), store.collections()) == ({}, [])


def test_titles_that_no_encoder_can_tell_apart(
    store: Store, make_encoder: Callable[..., Any], write: Write
) -> None:
    def same(texts: Sequence[str]) -> Vectors:
        return np.repeat(np.eye(1, 64, dtype=np.float32), len(texts), axis=0)

    encoder = make_encoder(vectors=same)
    path = write("many.csv", "job\n" + "".join(f"clerk {n}\n" for n in range(40)))
    source = TableSource(path, title="job", language="en")
    assert ingest(source, "en", store, encoder).points == 40


def test_thousands_of_rows_of_one_title_are_checked_once(
    store: Store, encoder: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("ads.csv", "job,id\n" + "".join(f"warehouse clerk,{n}\n" for n in range(2000)))
    source = TableSource(path, title="job", language="en", concept_id="id")
    checked: list[tuple[int, int]] = []
    query = store.query

    def counting(name: str, vectors: Vectors, **options: Any) -> Any:
        answers = query(name, vectors, **options)
        checked.append((len(vectors), sum(map(len, answers))))
        return answers

    monkeypatch.setattr(store, "query", counting)
    assert ingest(source, "en", store, encoder).points == 2000
    assert checked == [(1, 10)]


def test_a_faster_writer_wins(
    store: Store, encoder: Any, esco_source: EscoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(esco_source, "en", store, encoder)
    swap = store.swap_alias

    def overtaken(alias: str, name: str, *, expected: str | None) -> None:
        other = f"{ALIAS}__20261123t000000000000_00000000"
        metadata = store.describe(name).metadata
        store.create(other, metadata)
        store.upsert(other, next(store.scroll(name)))
        store.finish(other, metadata)
        swap(alias, other, expected=expected)
        swap(alias, name, expected=expected)

    monkeypatch.setattr(store, "swap_alias", overtaken)
    with pytest.raises(CollectionChanged):
        ingest(esco_source, "en", store, encoder, force=True)
    assert store.aliases()[ALIAS].endswith("_00000000")


def test_nothing_is_printed(
    store: Store, encoder: Any, esco_source: EscoSource, capfd: pytest.CaptureFixture[str]
) -> None:
    ingest(esco_source, "en", store, encoder, progress=True)
    assert capfd.readouterr() == ("", "")


def test_real_titles_and_the_real_model(
    store: Store, builtin: Any, sample_as: Callable[[str, str], EscoSource]
) -> None:
    summary = ingest(sample_as("es", "es"), "es", store, builtin)
    assert summary.points == store.count(summary.alias) > 300
    hits = store.query(summary.alias, builtin.encode_queries(["enfermera"]), limit=3)[0]
    assert {hit.payload["isco"][:2] for hit in hits} <= {"22", "32"}
