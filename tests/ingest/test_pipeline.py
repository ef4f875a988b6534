"""Ingests: stored points, kept sources, and failures that leave the live collection unchanged."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import pipeline
from ingest.build import remove_source
from ingest.pipeline import ingest, ingest_languages
from ingest.sources import EscoSource, TableSource
from ingest.sources.esco import SAMPLE_FOLDER
from jobsearch.errors import (
    CollectionChanged,
    CollectionMismatch,
    InvalidInput,
    LanguageMismatch,
    SourceError,
    SourceFormatError,
    StoreDamaged,
    StoreError,
    TooManyRejects,
)
from jobsearch.store import PointBatch, Store, open_store
from jobsearch.store.metadata import build_name
from jobsearch.types import PLAIN_STORAGE, Filters, VectorStorage
from jobsearch.vectors import Vectors

Write = Callable[..., Path]
ALIAS = "jobs__en__fake__pretrained"
ENGLISH = (
    "registered nurse", "software developer", "bus driver", "floor polisher", "school teacher",
    "head of logistics", "warehouse clerk", "night watchman", "shop assistant", "tax advisor",
    "fishing boat captain", "wedding planner", "insurance broker", "forest ranger", "tile layer",
    "railway signaller", "hotel receptionist", "dental hygienist", "sheep shearer", "watchmaker",
    "crane operator", "window cleaner", "glass blower", "street sweeper", "food inspector",
)  # fmt: skip


@pytest.fixture
def table(write: Write) -> TableSource:
    path = write("ours.csv", "job\nwarehouse clerk\nhead of logistics\nschool teacher\n")
    return TableSource(path, title="job", language="en")


def titles(store: Store, name: str = ALIAS) -> list[str]:
    return sorted(p["title"] for batch in store.scroll(name) for p in batch.payloads)


def test_stored_points_metadata_and_summary(
    store: Store, encoder: Any, esco_source: EscoSource
) -> None:
    summary = ingest(esco_source, "en", store, encoder)
    assert summary.as_dict() == {
        "source": "esco", "split": "", "language": "en",
        "rows_read": 4, "rows_rejected": 0, "file_rejected": 0,
        "titles": 14, "duplicates": 1, "distinct_texts": 12, "points": 13, "total_points": 13,
        "kept_sources": [], "dropped_sources": [], "seconds": summary.seconds,
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


def test_a_second_ingest_of_the_same_titles_does_nothing(
    store: Store, encoder: Any, esco_source: EscoSource
) -> None:
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


def test_another_vector_storage_makes_a_new_build(
    store: Store, encoder: Any, esco_source: EscoSource
) -> None:
    first = ingest(esco_source, "en", store, encoder)
    for storage, expected in (
        (VectorStorage("int8"), VectorStorage("int8", on_disk=False)),
        (VectorStorage(on_disk=True), VectorStorage("int8", on_disk=True)),
        (PLAIN_STORAGE, PLAIN_STORAGE),
    ):
        changed = ingest(esco_source, "en", store, encoder, storage=storage)
        assert not changed.unchanged
        assert changed.collection != first.collection
        assert store.describe(ALIAS).metadata.storage == expected
        assert ingest(esco_source, "en", store, encoder, storage=storage).unchanged


def test_storage_that_is_left_out_is_that_of_the_live_collection(
    store: Store,
    encoder: Any,
    make_encoder: Callable[..., Any],
    esco_source: EscoSource,
    table: TableSource,
) -> None:
    quantised = VectorStorage("int8", on_disk=True)
    ingest(esco_source, "en", store, encoder, storage=quantised)
    assert ingest(esco_source, "en", store, encoder).unchanged
    ingest(table, "en", store, encoder)
    assert store.describe(ALIAS).metadata.storage == quantised
    # A changed file, a forced build, a removed source and another encoder keep it as well.
    ingest(table, "en", store, encoder, force=True)
    assert store.describe(ALIAS).metadata.storage == quantised
    remove_source(store, ALIAS, "ours")
    assert store.describe(ALIAS).metadata.storage == quantised
    ingest(esco_source, "en", store, make_encoder(weights="new"))
    assert store.describe(ALIAS).metadata.storage == quantised


def test_other_sources_are_kept(
    store: Store, encoder: Any, esco_source: EscoSource, table: TableSource, write: Write
) -> None:
    ingest(esco_source, "en", store, encoder)
    encoder.documents.clear()
    summary = ingest(table, "en", store, encoder)
    assert (summary.points, summary.total_points, summary.kept_sources) == (3, 16, ("esco",))
    assert sorted(encoder.documents) == ["head of logistics", "school teacher", "warehouse clerk"]
    assert store.count(ALIAS, Filters(sources=("esco",))) == 13
    # A changed table replaces only its own titles.
    write("ours.csv", "job\nwarehouse clerk\n")
    summary = ingest(table, "en", store, encoder)
    assert (summary.points, summary.total_points, summary.kept_sources) == (1, 14, ("esco",))
    sources = store.describe(ALIAS).metadata.sources
    assert [(s.source, s.points) for s in sources] == [("esco", 13), ("ours", 1)]
    assert ingest(esco_source, "en", store, encoder).unchanged


def rebuild_without(store: Store, field: str, value: str) -> None:
    """Replace the live collection by a copy without some points, but with the same sources."""
    live = store.describe(ALIAS)
    [points] = store.scroll(ALIAS)
    rows = [row for row, payload in enumerate(points.payloads) if payload[field] != value]
    remaining = PointBatch(
        [points.ids[row] for row in rows],
        points.vectors[rows],
        [points.payloads[row] for row in rows],
    )
    name = build_name(ALIAS, live.metadata.encoder)
    metadata = replace(live.metadata, expected_points=len(remaining))
    store.create(name, metadata)
    store.upsert(name, remaining)
    store.finish(name, metadata)
    store.swap_alias(ALIAS, name, expected=live.name)


def test_kept_sources_are_counted_again(
    store: Store, encoder: Any, esco_source: EscoSource, table: TableSource
) -> None:
    ingest(esco_source, "en", store, encoder)
    rebuild_without(store, "concept_id", "urn:2")
    assert ingest(table, "en", store, encoder).total_points == 9 + 3
    rebuild_without(store, "source", "esco")
    summary = ingest(table, "en", store, encoder, force=True)
    assert (summary.total_points, summary.kept_sources) == (3, ())


def test_each_namespace_language_and_variant_has_a_collection(
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


def test_another_encoder_replaces_its_source_but_keeps_no_others(
    store: Store,
    make_encoder: Callable[..., Any],
    esco_source: EscoSource,
    table: TableSource,
) -> None:
    old, new = make_encoder(weights="old"), make_encoder(weights="new")
    ingest(esco_source, "en", store, old)
    # The collection has only this source, so it is replaced.
    assert not ingest(esco_source, "en", store, new).unchanged
    live = store.aliases()
    with pytest.raises(
        CollectionMismatch,
        match=r"weights_sha256 .*cannot be kept \(esco\): `drop_others=True` drops them",
    ):
        # To build anew says nothing about other sources.
        ingest(table, "en", store, old, force=True)
    assert store.aliases() == live
    summary = ingest(table, "en", store, old, drop_others=True)
    assert (summary.total_points, summary.kept_sources) == (3, ())
    assert summary.dropped_sources == ("esco",)
    # Sources that can be kept are kept.
    kept = ingest(esco_source, "en", store, old, drop_others=True)
    assert (kept.kept_sources, kept.dropped_sources) == (("ours",), ())


def test_another_table_of_the_same_file_name_is_refused(
    store: Store, encoder: Any, write: Write
) -> None:
    def jobs(path: Path, name: str | None = None) -> TableSource:
        return TableSource(path, title="job", language="en", name=name)

    first = write("d1/jobs.csv", "job\nwarehouse clerk\nhead of logistics\n")
    second = write("d2/jobs.csv", "job\nschool teacher\n")
    ingest(jobs(first), "en", store, encoder)
    with pytest.raises(InvalidInput, match=r"'jobs' already, from .*d1/jobs\.csv, and .*d2/jobs"):
        ingest(jobs(second), "en", store, encoder, force=True, drop_others=True)
    assert titles(store) == ["head of logistics", "warehouse clerk"]
    # The same file, changed and by another path, replaces its own titles.
    write("d1/jobs.csv", "job\nwarehouse clerk\n")
    ingest(jobs(first.parent / ".." / "d1" / "jobs.csv"), "en", store, encoder)
    assert titles(store) == ["warehouse clerk"]
    # Another name keeps both; a name that was chosen replaces.
    ingest(jobs(second, "Other jobs"), "en", store, encoder)
    assert titles(store) == ["school teacher", "warehouse clerk"]
    ingest(jobs(second, "jobs"), "en", store, encoder)
    assert titles(store) == ["school teacher", "school teacher"]
    with pytest.raises(InvalidInput, match="'jobs' already, from a table that was given this name"):
        ingest(jobs(first), "en", store, encoder)


def test_names_in_any_script_are_kept_apart(store: Store, encoder: Any, write: Write) -> None:
    for name in ("护士", "职位", "Büro"):
        path = write(f"{name}.csv", f"job\ncook {name}\n")
        source = TableSource(path, title="job", language="en")
        ingest(source, "en", store, encoder, language_check=False)
    sources = store.describe(ALIAS).metadata.sources
    assert sorted(source.source for source in sources) == ["büro", "护士", "职位"]
    with pytest.raises(InvalidInput, match="'🙂' has no letter or digit: give the table another"):
        TableSource(write("🙂.csv", "job\n"), title="job", language="en")


def test_another_model_directory_of_the_same_name_is_refused(
    store: Store, make_encoder: Callable[..., Any], esco_source: EscoSource
) -> None:
    one, two = make_encoder(weights="one"), make_encoder(weights="two")
    first = ingest(esco_source, "en", store, one, directory="/a/fake")
    with pytest.raises(CollectionMismatch, match="the model /a/fake, and another model, /b/fake,"):
        ingest(esco_source, "en", store, two, directory="/b/fake", force=True)
    assert store.aliases() == {ALIAS: first.collection}
    # The same directory with new weights replaces its own titles, and so does a moved one.
    ingest(esco_source, "en", store, two, directory="/a/fake")
    assert ingest(esco_source, "en", store, two, directory="/c/fake").unchanged
    replaced = ingest(esco_source, "en", store, one, directory="/c/fake", drop_others=True)
    assert store.describe(ALIAS).metadata.directory == "/c/fake"
    assert replaced.dropped_sources == ()


def test_models_whose_names_make_one_alias(
    store: Store, make_encoder: Callable[..., Any], esco_source: EscoSource
) -> None:
    one, two = make_encoder(weights="one"), make_encoder(weights="two")
    one.info, two.info = replace(one.info, model="a/b-c"), replace(two.info, model="a-b/c")
    ingest(esco_source, "en", store, one)
    with pytest.raises(CollectionMismatch, match="the model a/b-c, and another model, a-b/c,"):
        ingest(esco_source, "en", store, two)


def test_a_damaged_collection_with_other_sources_needs_force(
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
    lost = r"cannot be kept \(esco\): `drop_others=True` drops them"
    with pytest.raises(StoreDamaged, match=lost):
        ingest(table, "en", store, encoder, force=True)
    assert ingest(table, "en", store, encoder, drop_others=True).total_points == 3
    store.close()


def test_titles_in_another_language_are_not_stored(
    store: Store, encoder: Any, sample_as: Callable[[str, str], EscoSource]
) -> None:
    english_as_spanish = sample_as("en", "es")
    with pytest.raises(LanguageMismatch, match="look English"):
        ingest(english_as_spanish, "es", store, encoder)
    assert (encoder.documents, store.collections()) == ([], [])
    summary = ingest(english_as_spanish, "es", store, encoder, language_check=False)
    assert (summary.language_checked, summary.unchanged) == (False, False)


def test_nothing_is_stored_after_too_many_rejects(
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


def test_one_bad_row_does_not_stop_a_rare_language(
    store: Store, encoder: Any, write: Write, tmp_path: Path
) -> None:
    """1 of 206 rows is bad, but one of six if it counted for Spanish alone."""
    rows = [f"cook {n},en" for n in range(200)]
    rows += [f"{title},es" for title in ("enfermero", "soldador", "maestra", "cocinera", "juez")]
    path = write("jobs.csv", "\n".join(["job,lang", *rows, "sjuksköterska,xx"]) + "\n")
    source = TableSource(path, title="job", language_column="lang")
    summaries = ingest_languages(source, None, store, [encoder], rejects=tmp_path)
    assert [(s.language, s.points, s.rows_read, s.rows_rejected) for s in summaries] == [
        ("en", 200, 200, 0), ("es", 5, 5, 0),
    ]  # fmt: skip
    rejects = tmp_path / "rejects-jobs.jsonl"
    assert {(s.file_rejected, s.rejects_file) for s in summaries} == {(1, str(rejects))}
    [listed] = map(json.loads, rejects.read_text(encoding="utf-8").splitlines())
    assert (listed["line"], listed["reason"]) == (207, "unknown language")
    # Both or none: nothing is stored before the whole file was judged.
    other = open_store(":memory:")
    with pytest.raises(TooManyRejects, match=r"1 of 206 rows.*Nothing was stored$") as caught:
        ingest_languages(source, None, other, [encoder], max_rejects=0.001)
    assert (other.collections(), caught.value.done) == ([], ())


def test_a_language_whose_rows_are_all_bad_is_left_out(
    store: Store, encoder: Any, write: Write
) -> None:
    rows = [f"cook {n},en" for n in range(200)]
    path = write("jobs.csv", "\n".join(["job,lang", *rows, "?,es"]) + "\n")
    source = TableSource(path, title="job", language_column="lang")
    [summary] = ingest_languages(source, None, store, [encoder])
    assert (summary.language, summary.file_rejected) == ("en", 1)
    with pytest.raises(SourceFormatError, match="no titles in es that can be used"):
        ingest_languages(source, ["en", "es"], store, [encoder], force=True)


@pytest.mark.parametrize("max_rejects", [0.01, 1])
@pytest.mark.parametrize("rows", [["nurse,xx", "cook,yy"], ["nurse,", "cook,"], []])
def test_a_table_without_a_known_language(
    store: Store, encoder: Any, write: Write, tmp_path: Path, rows: list[str], max_rejects: float
) -> None:
    path = write("jobs.csv", "\n".join(["job,lang", *rows]) + "\n")
    source = TableSource(path, title="job", language_column="lang")
    with pytest.raises(SourceError, match="Nothing was stored") as caught:
        ingest_languages(source, None, store, [encoder], rejects=tmp_path, max_rejects=max_rejects)
    listed = tmp_path / "rejects-jobs.jsonl"
    assert listed.exists() == bool(rows)
    if rows:
        assert len(listed.read_text().splitlines()) == 2
        assert str(listed) in str(caught.value)


def test_an_error_names_what_was_stored_before(store: Store, encoder: Any, write: Write) -> None:
    """Languages in files of their own: the first is stored before the second is read."""
    english = (SAMPLE_FOLDER / "occupations_en.csv").read_bytes()
    folder = write("export/occupations_en.csv", english).parent
    write("export/occupations_es.csv", english)
    with pytest.raises(LanguageMismatch, match=f"Stored before and complete: {ALIAS}$") as caught:
        ingest_languages(EscoSource(folder), None, store, [encoder])
    [summary] = caught.value.done
    assert (summary.alias, summary.points) == (ALIAS, store.count(ALIAS))


def test_languages_of_one_file_are_checked_before_the_first_is_stored(
    store: Store, encoder: Any, write: Write
) -> None:
    english = [f"{title},en" for title in ENGLISH]
    wrong = [f"{title},es" for title in ENGLISH]
    path = write("jobs.csv", "\n".join(["job,lang", *english, *wrong]) + "\n")
    source = TableSource(path, title="job", language_column="lang")
    with pytest.raises(LanguageMismatch, match=r"Nothing was stored$"):
        ingest_languages(source, None, store, [encoder])
    assert store.collections() == []


def test_a_language_missing_in_the_source(
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
    # 5 + 5 + 2 texts; "school teacher" belongs to two concepts.
    assert uploaded == [5, 6, 2]
    lengths = [len(text) for text in encoder.documents]
    assert lengths == sorted(lengths, reverse=True)


def test_vectors_of_other_rows_are_detected(
    store: Store, encoder: Any, esco_source: EscoSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = store.upsert

    def shifted(name: str, points: PointBatch) -> None:
        upsert(name, PointBatch(points.ids, np.roll(points.vectors, 1, axis=0), points.payloads))

    monkeypatch.setattr(store, "upsert", shifted)
    with pytest.raises(StoreDamaged, match="does not find its own title"):
        ingest(esco_source, "en", store, encoder)
    assert (store.aliases(), store.collections()) == ({}, [])


def test_titles_with_equal_vectors_pass_the_check(
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


def test_a_concurrent_ingest_that_ends_first_wins(
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


def test_nothing_is_printed_without_a_terminal(
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
