"""Embedding in parts by other processes, loading the parts, snapshots, and migration."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ingest.build import new_metadata
from ingest.pipeline import ingest
from ingest.point_files import PointFile, PointFileHeader, find_point_files, write_point_file
from ingest.remote import EmbedSummary, embed_languages, load_parts
from ingest.sources import EscoSource, SampleSource, Source, TableSource
from ingest.transfer import migrate, restore_snapshot, write_snapshot
from jobsearch.errors import (
    CollectionMismatch,
    CollectionNotFound,
    InvalidInput,
    JobSearchError,
    LanguageMismatch,
    SourceFormatError,
    SourceNotFound,
    StoreDamaged,
    StoreError,
)
from jobsearch.models import Encoder
from jobsearch.store import PointBatch, Store, open_store
from jobsearch.store.lifecycle import unused_builds
from jobsearch.types import PLAIN_STORAGE, Filters, SourceInfo, TitleRecord, VectorStorage
from jobsearch.vectors import Vectors

ALIAS = "jobs__en__fake__pretrained"


def embed_part(
    source: Source, language: str, encoder: Any, folder: Path, **options: Any
) -> EmbedSummary:
    """Embed one language with one encoder."""
    [summary] = embed_languages(source, [language], [encoder], folder, **options)
    return summary


def contents(store: Store, name: str) -> dict[str, tuple[dict[str, str], Vectors]]:
    """Payload, without the run id, and vector of each point, by its id."""
    return {
        point_id: ({k: v for k, v in payload.items() if k != "run_id"}, vector)
        for points in store.scroll(name)
        for point_id, payload, vector in zip(
            points.ids, points.payloads, points.vectors, strict=True
        )
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two results of ``contents`` are equal, apart from rounding."""
    return one.keys() == other.keys() and all(
        one[i][0] == other[i][0] and np.allclose(one[i][1], other[i][1], atol=1e-6) for i in one
    )


@pytest.fixture
def parts(tmp_path: Path, esco_source: EscoSource, make_encoder: Any) -> Path:
    """Folder with the English titles in three parts."""
    folder = tmp_path / "parts"
    for part in (1, 2, 3):
        embed_part(esco_source, "en", make_encoder(), folder, part=part, parts=3)
    return folder


def test_loaded_parts_equal_an_ingest(
    parts: Path, store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any
) -> None:
    with closing(open_store(str(tmp_path / "other"))) as other:
        ingest(esco_source, "en", other, encoder)
        expected = contents(other, ALIAS)
        metadata = other.describe(ALIAS).metadata
    summary = load_parts(find_point_files(parts), store, encoder)
    assert (summary.alias, summary.parts, summary.points) == (ALIAS, 3, 13)
    assert same(contents(store, ALIAS), expected)
    assert store.describe(ALIAS).metadata.sources == metadata.sources
    assert store.verify(ALIAS) == []
    run_ids = {p["run_id"] for points in store.scroll(ALIAS) for p in points.payloads}
    assert run_ids == {summary.collection.rsplit("__", 1)[1]}
    # A later ingest finds the titles already stored.
    assert ingest(esco_source, "en", store, encoder).unchanged


def test_no_text_is_embedded_twice(
    tmp_path: Path, esco_source: EscoSource, make_encoder: Any
) -> None:
    encoders = [make_encoder() for _ in range(3)]
    points = [
        embed_part(esco_source, "en", encoder, tmp_path, part=part, parts=3).points
        for part, encoder in enumerate(encoders, start=1)
    ]
    texts = [text for encoder in encoders for text in encoder.documents]
    assert len(texts) == len(set(texts)) == 12
    assert sum(points) == 13


@pytest.mark.slow
def test_two_worker_processes(tmp_path: Path, builtin: Encoder) -> None:
    folder = tmp_path / "parts"
    main = "from jobsearch.cli import main; main()"
    command = [sys.executable, "-c", main, "ingest", "sample", "--languages", "de"]
    options = ["--variant", "pretrained", "--cache-size", "0", "--embed-to", str(folder), "--json"]
    workers = [
        subprocess.Popen([*command, *options, "--part", f"{part}/2"], stdout=subprocess.PIPE)
        for part in (1, 2)
    ]
    summaries = [
        json.loads(worker.communicate(timeout=120)[0])["embedded"][0] for worker in workers
    ]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(each["points"] for each in summaries) == summaries[0]["total_points"]
    with closing(open_store(":memory:")) as store, closing(open_store(":memory:")) as other:
        loaded = load_parts(find_point_files(folder), store, builtin)
        ingested = ingest(SampleSource(), "de", other, builtin)
        assert loaded.points == ingested.points
        assert same(contents(store, loaded.alias), contents(other, ingested.alias))


def test_other_sources_are_kept(parts: Path, store: Store, tmp_path: Path, encoder: Any) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("title\nchief happiness officer\nhead of fun\n", encoding="utf-8")
    own = TableSource(path, title="title", language="en")
    ingest(own, "en", store, encoder)
    summary = load_parts(find_point_files(parts), store, encoder)
    assert (summary.points, summary.total_points) == (13, 15)
    assert store.count(ALIAS, Filters(sources=("mine",))) == 2


def missing_part(parts: Path) -> None:
    next(parts.glob("*00002-of*")).unlink()


def repeated_part(parts: Path) -> None:
    first = next(parts.glob("*00001-of*"))
    (parts / "copy.parquet").write_bytes(first.read_bytes())


def part_of_another_model(parts: Path) -> None:
    path = next(parts.glob("*00001-of*"))
    part = PointFile(path)
    points, metadata = list(part.batches()), part.header.metadata
    other = replace(metadata, encoder=replace(metadata.encoder, weights_sha256="b"))
    write_point_file(path, replace(part.header, metadata=other), points)


def part_with_a_missing_point(parts: Path) -> None:
    rewrite(next(parts.glob("*00001-of*")), lambda table: table.slice(1))


def truncated_part(parts: Path) -> None:
    path = next(parts.glob("*00001-of*"))
    path.write_bytes(path.read_bytes()[:-100])


def altered_part(parts: Path) -> None:
    path = next(parts.glob("*00001-of*"))
    data = bytearray(path.read_bytes())
    data[data.index(np.array(next(PointFile(path).batches()).vectors[0, :4]).tobytes())] ^= 255
    path.write_bytes(data)


def test_no_altered_byte_is_read_as_data(parts: Path) -> None:
    path = next(parts.glob("*00001-of*"))
    data = path.read_bytes()
    expected = [(b.ids, b.vectors.tolist(), b.payloads) for b in PointFile(path).batches()]
    refused = 0
    for position in range(0, len(data), 37):
        path.write_bytes(data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :])
        try:
            read = [(b.ids, b.vectors.tolist(), b.payloads) for b in PointFile(path).batches()]
        except JobSearchError:
            refused += 1
        else:
            assert read == expected
    assert refused > len(data) / 37 / 2


def foreign_file(parts: Path) -> None:
    parquet.write_table(pa.table({"title": ["cook"]}), parts / "foreign.parquet")


def missing_title(parts: Path) -> None:
    change_column(next(parts.glob("*00001-of*")), "title", None)


def wrong_language(parts: Path) -> None:
    change_column(next(parts.glob("*00001-of*")), "language", "de")


def shifted_vectors(parts: Path) -> None:
    def roll(table: Any) -> Any:
        vectors = table.column("vector").combine_chunks()
        rolled = pa.concat_arrays([vectors.slice(1), vectors.slice(0, 1)])
        return table.set_column(table.schema.get_field_index("vector"), "vector", rolled)

    for path in parts.glob("*.parquet"):
        rewrite(path, roll)


def change_header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write the file with a changed header and, like another program, without a checksum."""
    table = parquet.read_table(path)
    header = json.loads(table.schema.metadata[b"jobsearch"])
    change(header)
    metadata = {"jobsearch": json.dumps(header)}
    parquet.write_table(table.replace_schema_metadata(metadata), path)


def change_column(path: Path, name: str, value: str | None) -> None:
    def changed(table: Any) -> Any:
        values = [value, *table.column(name).to_pylist()[1:]]
        column = pa.array(values, type=pa.string())
        return table.set_column(table.schema.get_field_index(name), name, column)

    rewrite(path, changed)


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    table = parquet.read_table(path)
    metadata = table.schema.metadata
    parquet.write_table(change(table).replace_schema_metadata(metadata), path)


def huge_number_of_parts(parts: Path) -> None:
    for path in parts.glob("*.parquet"):
        change_header(path, lambda header: header.update(parts=10**12))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (missing_part, SourceFormatError, "lacks part 2 of 3"),
        (repeated_part, SourceFormatError, "has a part twice"),
        (huge_number_of_parts, SourceFormatError, "lacks part 4, 5, 6, 7, 8, 9, 10, 11 of 1000"),
        (part_of_another_model, SourceFormatError, "are parts of different collections"),
        (part_with_a_missing_point, SourceFormatError, "have 12 points, their headers say 13"),
        (truncated_part, SourceFormatError, "truncated or altered"),
        (altered_part, SourceFormatError, "its checksum differs"),
        (foreign_file, SourceFormatError, "is no point file"),
        (missing_title, SourceFormatError, "has no title"),
        (wrong_language, SourceFormatError, "has language de, not en"),
        (shifted_vectors, CollectionMismatch, "has another vector for"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_damaged_parts_store_nothing(
    parts: Path, store: Store, encoder: Any, damage: Any, error: type[Exception], message: str
) -> None:
    damage(parts)
    with pytest.raises(error, match=message) as caught:
        load_parts(find_point_files(parts), store, encoder)
    assert "\n" not in str(caught.value)
    assert (store.aliases(), store.collections()) == ({}, [])


def test_another_encoder_is_refused(parts: Path, store: Store, make_encoder: Any) -> None:
    with pytest.raises(CollectionMismatch, match="than the one on this machine"):
        load_parts(find_point_files(parts), store, make_encoder(weights="b"))


def test_titles_in_another_language_are_refused(
    tmp_path: Path, store: Store, esco_source: EscoSource, encoder: Any
) -> None:
    plan = new_metadata("en", encoder.info, ())
    with closing(open_store(":memory:")) as other:
        ingest(esco_source, "de", other, encoder)
        [batch] = list(other.scroll("jobs__de__fake__pretrained"))
        [source] = other.describe("jobs__de__fake__pretrained").metadata.sources
    english = [{**payload, "language": "en"} for payload in batch.payloads]
    header = PointFileHeader(ALIAS, replace(plan, sources=(source,)))
    write_point_file(tmp_path / "x.parquet", header, [replace(batch, payloads=english)])
    with pytest.raises(LanguageMismatch):
        load_parts(find_point_files(tmp_path), store, encoder)
    assert load_parts(find_point_files(tmp_path), store, encoder, language_check=False).points == 16


def test_missing_files_parts_and_languages(
    tmp_path: Path, esco_source: EscoSource, encoder: Any
) -> None:
    with pytest.raises(SourceNotFound, match="has no Parquet file"):
        find_point_files(tmp_path)
    with pytest.raises(SourceNotFound, match="does not exist"):
        find_point_files(tmp_path / "x.parquet")
    with pytest.raises(InvalidInput, match="no part 3 of 2"):
        embed_part(esco_source, "en", encoder, tmp_path, part=3, parts=2)
    with pytest.raises(InvalidInput, match="no titles in es"):
        embed_part(esco_source, "es", encoder, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceFormatError, match="cannot be written"):
        embed_part(esco_source, "en", encoder, tmp_path / "file")


def test_loading_drops_other_sources_only_if_asked(
    tmp_path: Path, store: Store, esco_source: EscoSource, encoder: Any, make_encoder: Any
) -> None:
    (tmp_path / "ours.csv").write_text("title\nchief happiness officer\n", encoding="utf-8")
    own = TableSource(tmp_path / "ours.csv", title="title", language="en")
    ingest(own, "en", store, make_encoder(weights="other"))
    embed_part(esco_source, "en", encoder, tmp_path / "parts")
    parts = find_point_files(tmp_path / "parts")
    with pytest.raises(CollectionMismatch, match=r"\(ours\): `drop_others=True` drops them"):
        load_parts(parts, store, encoder)
    assert store.count(ALIAS) == 1
    loaded = load_parts(parts, store, encoder, drop_others=True)
    assert (loaded.total_points, loaded.as_dict()["dropped_sources"]) == (13, ["ours"])


def test_loading_another_table_of_the_same_file_name(
    tmp_path: Path, store: Store, encoder: Any
) -> None:
    for folder, title in (("d1", "warehouse clerk"), ("d2", "school teacher")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "jobs.csv").write_text(f"title\n{title}\n", encoding="utf-8")
        source = TableSource(tmp_path / folder / "jobs.csv", title="title", language="en")
        embed_part(source, "en", encoder, tmp_path / f"parts of {folder}")
    load_parts(find_point_files(tmp_path / "parts of d1"), store, encoder)
    with pytest.raises(InvalidInput, match=r"from .*d1/jobs\.csv, and .*d2/jobs\.csv would"):
        load_parts(find_point_files(tmp_path / "parts of d2"), store, encoder)


def test_storage_that_the_embedding_leaves_out(
    tmp_path: Path, store: Store, esco_source: EscoSource, encoder: Any
) -> None:
    ingest(esco_source, "en", store, encoder, storage=VectorStorage("int8", on_disk=True))
    embed_part(esco_source, "en", encoder, tmp_path / "left out")
    load_parts(find_point_files(tmp_path / "left out"), store, encoder)
    assert store.describe(ALIAS).metadata.storage == VectorStorage("int8", on_disk=True)
    embed_part(esco_source, "en", encoder, tmp_path / "given", storage=VectorStorage("binary"))
    load_parts(find_point_files(tmp_path / "given"), store, encoder)
    assert store.describe(ALIAS).metadata.storage == VectorStorage("binary", on_disk=True)


def test_parts_without_titles(
    tmp_path: Path, store: Store, esco_source: EscoSource, encoder: Any
) -> None:
    for part in range(1, 41):
        embed_part(esco_source, "en", encoder, tmp_path, part=part, parts=40)
    assert load_parts(find_point_files(tmp_path), store, encoder).points == 13


# Snapshots


def test_restoring_a_snapshot(
    store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any
) -> None:
    first = ingest(esco_source, "en", store, encoder, storage=VectorStorage("int8"))
    before = contents(store, ALIAS)
    path = tmp_path / "new" / "en.parquet"
    written = write_snapshot(store, ALIAS, path)
    assert (written.alias, written.collection, written.points) == (ALIAS, first.collection, 13)
    (tmp_path / "mine.csv").write_text("title\nchief happiness officer\n", encoding="utf-8")
    own = TableSource(tmp_path / "mine.csv", title="title", language="en")
    changed = ingest(own, "en", store, encoder, storage=PLAIN_STORAGE)
    assert store.count(ALIAS) == 14

    restored = restore_snapshot(path, store)
    assert restored.points == 13
    assert same(contents(store, ALIAS), before)
    metadata = store.describe(ALIAS).metadata
    assert (metadata.storage, metadata.previous) == (
        VectorStorage("int8", on_disk=False),
        changed.collection,
    )
    assert store.rollback(ALIAS) == changed.collection


def test_files_and_collections_without_a_snapshot(
    parts: Path, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(SourceFormatError, match="no snapshot of a whole collection"):
        restore_snapshot(next(parts.glob("*00001-of*")), store)
    with pytest.raises(CollectionNotFound):
        write_snapshot(store, ALIAS, tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize(
    "alias",
    [
        "mystuff",
        "mystuff__en__fake__pretrained",
        "jobs__zh__fake__pretrained",
        "jobs__en__other__pretrained",
        "jobs__en__fake__finetuned",
        "jobs__en__fake__pretrained__x",
        "eval-" + 160 * "x" + "__en__fake__pretrained",
        "../etc",
        3,
    ],
    ids=str,
)
def test_an_alias_that_contradicts_the_metadata(
    store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any, alias: object
) -> None:
    path = tmp_path / "en.parquet"
    ingest(esco_source, "en", store, encoder)
    write_snapshot(store, ALIAS, path)
    change_header(path, lambda header: header.update(alias=alias))
    with pytest.raises(SourceFormatError, match=r"en\.parquet is no point file"):
        restore_snapshot(path, store)
    change_header(path, lambda header: header.update(alias="eval-x__en__fake__pretrained"))
    assert restore_snapshot(path, store).points == 13


def test_invalid_metadata(
    store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any
) -> None:
    path = tmp_path / "en.parquet"
    ingest(esco_source, "en", store, encoder)
    write_snapshot(store, ALIAS, path)
    change_header(path, lambda header: header["collection"].update(created_at="garbage"))
    with pytest.raises(CollectionMismatch, match=r"en\.parquet: the collection's metadata cannot"):
        restore_snapshot(path, store)
    table = parquet.read_table(path)
    for header in ("[" * 200_000, '{"format": 1e999}'):
        parquet.write_table(table.replace_schema_metadata({"jobsearch": header}), path)
        with pytest.raises(SourceFormatError, match=r"en\.parquet is no point file"):
            restore_snapshot(path, store)


@pytest.mark.parametrize("points", [0, 12, 14])
def test_a_snapshot_with_a_wrong_number_of_points(
    store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any, points: int
) -> None:
    path = tmp_path / "en.parquet"
    ingest(esco_source, "en", store, encoder)
    write_snapshot(store, ALIAS, path)

    def set_points(header: dict[str, Any]) -> None:
        header["collection"]["expected_points"] = points

    change_header(path, set_points)
    with pytest.raises(SourceFormatError, match="no snapshot of a whole collection"):
        restore_snapshot(path, store)


def test_titles_that_would_unpack_to_gigabytes(
    tmp_path: Path, esco_source: EscoSource, encoder: Any, little_memory: Any
) -> None:
    embed_part(esco_source, "en", encoder, tmp_path)
    [path] = tmp_path.glob("*.parquet")
    table = parquet.read_table(path)
    rows = pa.array([0] * len(table), pa.int32())
    titles = pa.DictionaryArray.from_arrays(rows, pa.array([3_000_000 * "x"]))
    table = table.set_column(table.schema.get_field_index("title"), "title", titles)
    header = table.schema.metadata[b"jobsearch"]
    with parquet.ParquetWriter(path, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"jobsearch": header})
    with (
        little_memory(),
        pytest.raises(SourceFormatError, match=r"\.parquet has 39 million characters in 13 points"),
    ):
        list(PointFile(path).batches())


def test_a_collection_that_lost_points_gives_no_snapshot(
    store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any, monkeypatch
) -> None:
    ingest(esco_source, "en", store, encoder)
    earlier = tmp_path / "x.parquet"
    write_snapshot(store, ALIAS, earlier)
    before = earlier.read_bytes()
    monkeypatch.setattr(store, "scroll", lambda name: iter(()))
    for path in (earlier, tmp_path / "new.parquet"):
        with pytest.raises(StoreDamaged, match="gave 0 of its 13 points"):
            write_snapshot(store, ALIAS, path)
    assert earlier.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*parquet*")] == ["x.parquet"]


def test_a_snapshot_of_several_sources_is_no_part(
    store: Store, tmp_path: Path, esco_source: EscoSource, encoder: Any
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("title\nhead of fun\n", encoding="utf-8")
    ingest(TableSource(path, title="title", language="en"), "en", store, encoder)
    ingest(esco_source, "en", store, encoder)
    write_snapshot(store, ALIAS, tmp_path / "en.parquet")
    with pytest.raises(SourceFormatError, match="collections restore"):
        load_parts(find_point_files(tmp_path / "en.parquet"), store, encoder)
    with closing(open_store(":memory:")) as other:
        assert restore_snapshot(tmp_path / "en.parquet", other).points == 14
        assert len(other.describe(ALIAS).metadata.sources) == 2


def test_a_build_gets_its_own_start_time(
    parts: Path, store: Store, tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "en.parquet"
    old = "2020-01-01T00:00:00+00:00"
    for part in parts.glob("*.parquet"):
        change_header(part, lambda header: header["collection"].update(created_at=old))
    statuses = []
    upsert = store.upsert

    def watched(name: str, points: PointBatch) -> None:
        upsert(name, points)
        statuses.append(store.describe(name).metadata.status)
        assert unused_builds(store.collections(), older_than_h=24, previous=False) == []

    monkeypatch.setattr(store, "upsert", watched)
    load_parts(find_point_files(parts), store, encoder)
    write_snapshot(store, ALIAS, path)
    change_header(path, lambda header: header["collection"].update(created_at=old))
    restore_snapshot(path, store)
    assert set(statuses) == {"building"}
    assert old not in {info.metadata.created_at for info in store.collections()}


# Migration


def test_migrate(store: Store, esco_source: EscoSource, encoder: Any) -> None:
    ingest(esco_source, "en", store, encoder)
    with closing(open_store(":memory:")) as other:
        for name in (ALIAS, store.aliases()[ALIAS]):
            copied = migrate(store, name, other)
            assert copied.alias == ALIAS
            assert copied.points == 13
            assert same(contents(other, ALIAS), contents(store, ALIAS))
        assert len(other.collections()) == 2


def test_every_batch_of_a_copy_is_compared(
    store: Store, esco_source: EscoSource, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(esco_source, "en", store, encoder)
    expected = np.concatenate([batch.vectors for batch in store.scroll(ALIAS)])[[0, 3, 6, 9, 12]]
    monkeypatch.setattr(store, "scroll", partial(store.scroll, batch_size=5))
    monkeypatch.setattr("ingest.transfer._COMPARED", 4)
    with closing(open_store(":memory:")) as other:
        query, queries = other.query, []

        def last_is_wrong(name: str, vectors: Vectors, **options: Any) -> Any:
            queries.append(vectors)
            hits = query(name, vectors, **options)
            # The first call is the self-check of every build.
            return hits if len(queries) < 4 else [row[1:] for row in hits]

        monkeypatch.setattr(other, "query", last_is_wrong)
        with pytest.raises(StoreDamaged, match="give different hits for the copy"):
            migrate(store, ALIAS, other)
        assert [len(vectors) for vectors in queries[1:]] == [2, 2, 1]
        assert np.allclose(np.concatenate(queries[1:]), expected)
        assert (other.aliases(), other.collections()) == ({}, [])


def test_a_copy_with_other_hits_is_not_used(
    store: Store, esco_source: EscoSource, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(esco_source, "en", store, encoder)
    with closing(open_store(":memory:")) as other:
        before = migrate(store, ALIAS, other)
        query = other.query

        def shuffled(name: str, vectors: Vectors, **options: Any) -> Any:
            hits = query(name, vectors, **options)
            return hits[1:] + hits[:1] if options["limit"] == 10 and len(hits) == 13 else hits

        calls = iter([False, True])

        def second_time(name: str, vectors: Vectors, **options: Any) -> Any:
            # The first call is the self-check of every build.
            answer = shuffled if next(calls) else query
            return answer(name, vectors, **options)

        monkeypatch.setattr(other, "query", second_time)
        with pytest.raises(StoreDamaged, match="give different hits for the copy"):
            migrate(store, ALIAS, other)
        assert other.aliases() == {ALIAS: before.collection}
        assert [info.name for info in other.collections()] == [before.collection]


def test_an_unfinished_build_gives_no_snapshot(store: Store, encoder: Any, tmp_path: Path) -> None:
    name = f"{ALIAS}__20261123t101500123456_1a2b3c4d"
    store.create(name, new_metadata("en", encoder.info, ()))
    store.upsert(name, PointBatch([], np.empty((0, encoder.info.dim), dtype=np.float32), []))
    with pytest.raises(StoreError, match="is not complete"):
        write_snapshot(store, name, tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("vector", "point_id", "message"),
    [
        (np.nan, None, "1 of 3 vectors are not finite and of unit length, the first at row 1"),
        (np.inf, None, "not finite and of unit length"),
        (0.0, None, "not finite and of unit length"),
        (2.0, None, "not finite and of unit length"),
        (None, "occupation-7", "the id 'occupation-7' is no UUID"),
        (None, "", "the id '' is no UUID"),
        (None, "7" * 5000, "is no UUID"),
    ],
)
def test_points_that_cannot_be_stored(
    store: Store, tmp_path: Path, encoder: Any, vector: float, point_id: str, message: str
) -> None:
    records = [TitleRecord(f"title {i}", "en", "esco", "preferred") for i in range(3)]
    vectors = encoder.encode_documents([record.title for record in records])
    ids = [record.point_id for record in records]
    if vector is not None:
        vectors[1] = vector
    if point_id is not None:
        ids[1] = point_id
    metadata = replace(
        new_metadata("en", encoder.info, (SourceInfo("esco", "", "", "", 3),)),
        expected_points=3, status="ready",
    )  # fmt: skip
    path = tmp_path / "snapshot.parquet"
    points = PointBatch(ids, vectors, [record.payload("run") for record in records])
    write_point_file(path, PointFileHeader(ALIAS, metadata), [points])
    for use in (
        lambda: restore_snapshot(path, store),
        lambda: load_parts(find_point_files(path), store, encoder, language_check=False),
    ):
        with pytest.raises(SourceFormatError, match=re.escape(message)) as caught:
            use()
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 400 + len(str(path))
    assert store.collections() == []
