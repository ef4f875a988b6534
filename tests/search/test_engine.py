"""Searches over the sample in an embedded store, with the real model."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from ingest.build import new_metadata
from jobsearch.errors import (
    CollectionMismatch,
    CollectionNotFound,
    InvalidInput,
    StoreDamaged,
    VariantNotFound,
)
from jobsearch.search import SearchEngine
from jobsearch.store import PointBatch, open_store
from jobsearch.store.embedded.shard import Shard
from jobsearch.store.embedded.store import EmbeddedStore
from jobsearch.store.metadata import build_name
from jobsearch.types import Filters, TitleRecord, VectorStorage
from jobsearch.vectors import Vectors

NURSE = "urn:jobsearch:sample:occupation:021"


@pytest.fixture(scope="module")
def store(sample_store):
    store = open_store(str(sample_store))
    yield store
    store.close()


@pytest.fixture
def engine(store, builtin, finetuned) -> SearchEngine:
    encoders = {"pretrained": builtin, "finetuned": finetuned}
    return SearchEngine(store, "builtin", encoders.__getitem__)


def test_languages_and_their_variants(engine) -> None:
    assert engine.languages() == {
        "de": ("pretrained", "finetuned"),
        "en": ("pretrained", "finetuned"),
        "zh": ("pretrained",),
    }


@pytest.mark.parametrize("query", ["Krankenschwester", "enfermera", "注册护士", "REGISTERED NURSE"])
def test_a_nurse_is_found_from_any_language(engine, query: str) -> None:
    result = engine.search(query, to=["en"], top=3, variant="pretrained")
    assert NURSE in [hit.concept_id for hit in result.hits]
    best = result.hits[0]
    assert (best.language, best.variant, best.source) == ("en", "pretrained", "sample")
    assert best.collection.startswith("jobs__en__builtin__pretrained__")
    assert 0.5 < best.score <= 1.0


def test_hits_of_two_languages_are_sorted(engine) -> None:
    found = engine.search("teacher", to=["en", "de"], top=20)
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert {hit.language for hit in found.hits} == {"en", "de"}
    # The sample is too small for an index.
    exact = engine.search("teacher", to=["en", "de"], top=20, exact=True)
    assert [h.point_id for h in exact.hits] == [h.point_id for h in found.hits]


COUNT = 600


def scattered(texts: Sequence[str]) -> Vectors:
    """Random unit vectors, the same for the same text."""
    rows = np.array(
        [np.random.default_rng(list(text.encode())).standard_normal(64) for text in texts]
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_exact_goes_round_the_index(tmp_path: Path) -> None:
    encoder = FakeEncoder(vectors=scattered)
    titles = [f"title {n}" for n in range(COUNT)]
    records = [TitleRecord(title, "en", "own", "preferred") for title in titles]
    points = PointBatch(
        [record.point_id for record in records],
        encoder.encode_documents(titles),
        [record.payload("run") for record in records],
    )
    # One bit a number finds candidates: such an index certainly loses some of the nearest titles.
    metadata = replace(
        new_metadata("en", encoder.info, ()),
        expected_points=COUNT,
        storage=VectorStorage("binary"),
    )
    alias = "jobs__en__fake__pretrained"
    with closing(EmbeddedStore(tmp_path, exact_scan_max_points=100)) as store:
        name = build_name(alias, encoder.info)
        store.create(name, metadata)
        store.upsert(name, points)
        store.finish(name, metadata)
        store.swap_alias(alias, name, expected=None)
        reader = store._reader(alias)
        assert isinstance(reader, Shard)
        assert reader._shard.info().indexed_vectors_count == COUNT

        engine = SearchEngine(store, "fake", lambda _variant: encoder)
        shared = 0
        for n in range(20):
            query = f"query {n}"
            scores = points.vectors @ scattered([query])[0]
            by_hand = [points.ids[place] for place in np.argsort(-scores)[:10]]
            exact = engine.search(query, to=["en"], exact=True)
            assert [hit.point_id for hit in exact.hits] == by_hand
            indexed = engine.search(query, to=["en"])
            assert len(indexed.hits) == 10
            shared += len({hit.point_id for hit in indexed.hits} & set(by_hand))
    assert 80 < shared < 195, "the index finds many of 200 titles, not all"


def test_a_title_finds_itself(engine) -> None:
    hit = engine.search("registered nurse", to=["en"], top=1, variant="pretrained").hits[0]
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    assert hit.isco == "2221"


@pytest.mark.parametrize(
    ("filters", "attribute", "allowed"),
    [
        (Filters(isco=("2221",)), "isco", {"2221"}),
        (Filters(isco=("222", "5132")), "isco", {"2221", "2222", "5132"}),
        (Filters(kinds=("preferred",)), "kind", {"preferred"}),
        (Filters(concept_ids=(NURSE,)), "concept_id", {NURSE}),
        (Filters(sources=("sample",)), "source", {"sample"}),
    ],
)
def test_filters(engine, filters, attribute, allowed) -> None:
    hits = engine.search("cook", to=["en"], top=50, filters=filters).hits
    assert hits
    assert {getattr(hit, attribute) for hit in hits} <= allowed


def test_filters_that_nothing_passes_give_no_hits(engine) -> None:
    nothing = [
        Filters(sources=("esco",)),
        Filters(splits=("test",)),
        Filters(isco=("9629",), kinds=("hidden",)),
    ]
    for filters in nothing:
        assert engine.search("cook", to=["en"], filters=filters).hits == ()


def test_filter_values_are_data(engine) -> None:
    hostile = Filters(concept_ids=('"}]} OR 1=1 --', "*", "\x00"))
    assert engine.search("cook", to=["en"], filters=hostile).hits == ()


def test_grouping_gives_one_hit_a_concept_and_lists_the_others(engine) -> None:
    plain = engine.search("nurse", to=["en"], top=10)
    grouped = engine.search("nurse", to=["en"], top=10, group_by_concept=True)
    concepts = [hit.concept_id for hit in grouped.hits]
    assert len(concepts) == len(set(concepts)) == 10
    assert len({hit.concept_id for hit in plain.hits}) < 10
    assert grouped.hits[0].point_id == plain.hits[0].point_id
    assert grouped.hits[0].others
    assert grouped.hits[0].title not in grouped.hits[0].others


def test_grouping_keeps_languages_apart(engine) -> None:
    """A concept gives one hit in each language that is searched, with the others of that one."""
    plain = [
        hit
        for language in ("en", "de")
        for hit in engine.search("nurse", to=[language], variant="pretrained", top=1000).hits
    ]
    titles: dict[tuple[str, str], list[str]] = {}
    for hit in sorted(plain, key=lambda hit: (-hit.score, hit.point_id)):
        titles.setdefault((hit.concept_id, hit.language), []).append(hit.title)
    wanted = {"to": ["en", "de"], "variant": "pretrained", "group_by_concept": True}
    grouped = engine.search("nurse", **wanted, top=1000).hits
    assert len(titles) == 240
    assert [(hit.concept_id, hit.language) for hit in grouped] == list(titles)
    assert [[hit.title, *hit.others] for hit in grouped] == list(titles.values())
    few = engine.search("nurse", **wanted, top=7).hits
    assert [hit.point_id for hit in few] == [hit.point_id for hit in grouped[:7]]
    assert {hit.language for hit in few} == {"en", "de"}


def test_grouping_goes_on_until_there_are_enough_concepts(engine) -> None:
    grouped = engine.search("nurse", to=["en"], top=1000, group_by_concept=True)
    assert len(grouped.hits) == 120


def test_lowest_score(engine) -> None:
    every = engine.search("nurse", to=["en"], top=100).hits
    some = engine.search("nurse", to=["en"], top=100, min_score=0.6).hits
    assert [h.point_id for h in some] == [h.point_id for h in every if h.score >= 0.6]
    assert 0 < len(some) < len(every)


def test_each_variant_has_collections_of_its_own(engine) -> None:
    hits = {
        v: engine.search("Koch", to=["en"], variant=v).hits for v in ("pretrained", "finetuned")
    }
    assert {hit.variant for hit in hits["finetuned"]} == {"finetuned"}
    pairs = zip(hits["pretrained"], hits["finetuned"], strict=True)
    assert any(one.score != other.score for one, other in pairs)


def test_auto_takes_the_finetuned_variant_where_it_exists(engine) -> None:
    result = engine.search("Koch", to=["en", "zh"], top=6)
    assert {(h.language, h.variant) for h in result.hits} == {
        ("en", "finetuned"),
        ("zh", "pretrained"),
    }
    # Cosines of two variants cannot be compared: ranks decide.
    assert [hit.language for hit in result.hits] == ["en", "zh"] * 3


def test_the_papers_policy(engine) -> None:
    result = engine.search("Koch", to=["de", "en"], query_language="de", variant="paper")
    assert {(h.language, h.variant) for h in result.hits} == {
        ("de", "finetuned"),
        ("en", "pretrained"),
    }


def test_a_query_is_encoded_once_for_all_languages(store, builtin) -> None:
    counting = FakeEncoder.counting(builtin)
    engine = SearchEngine(store, "builtin", lambda _variant: counting)
    engine.search("  Koch ", to=["en", "de", "zh", "en"], variant="pretrained")
    assert counting.queries == ["Koch"]


def test_the_guard_refuses_another_encoder(store, builtin) -> None:
    other = FakeEncoder.counting(builtin)
    other.info = replace(builtin.info, weights_sha256="0" * 64)
    engine = SearchEngine(store, "builtin", lambda _variant: other)
    with pytest.raises(CollectionMismatch, match="weights_sha256"):
        engine.search("Koch", to=["en"], variant="pretrained")
    assert other.queries == []


def test_what_cannot_be_asked(engine) -> None:
    with pytest.raises(CollectionNotFound, match=r"no titles in fr .* it has de, en, zh"):
        engine.search("Koch", to=["en", "fr"])
    with pytest.raises(VariantNotFound, match="no finetuned collection for 'zh'"):
        engine.search("Koch", to=["zh"], variant="finetuned")
    for wrong in ({"top": 0}, {"top": 1001}, {"min_score": 1.5}, {"to": []}):
        with pytest.raises(InvalidInput):
            engine.search("Koch", **{"to": ["en"], **wrong})


def test_another_model_has_nothing_here(store, builtin) -> None:
    engine = SearchEngine(store, "mpnet", lambda _variant: builtin)
    with pytest.raises(CollectionNotFound, match="model mpnet; it is empty"):
        engine.search("Koch", to=["en"])


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"language": "de"}, r"holds titles in en, and its point .* is in de: ingest"),
        ({"language": None}, r"point .* of collection jobs__en__.* has no language: ingest"),
        ({"kind": None, "source": None}, r"has no source, kind: ingest the titles again"),
    ],
)
def test_a_hit_that_does_not_belong_to_its_collection(
    tmp_path: Path, payload: dict[str, str | None], message: str
) -> None:
    encoder = FakeEncoder()
    record = TitleRecord("Koch", "en", "esco", "preferred", concept_id="1")
    stored = {k: v for k, v in {**record.payload("run"), **payload}.items() if v is not None}
    with closing(open_store(str(tmp_path / "store"))) as store:
        alias = "jobs__en__fake__pretrained"
        name = build_name(alias, encoder.info)
        plan = replace(new_metadata("en", encoder.info, ()), expected_points=1)
        store.create(name, plan)
        vectors = encoder.encode_documents(["Koch"])
        store.upsert(name, PointBatch([record.point_id], vectors, [stored]))
        store.finish(name, plan)
        store.swap_alias(alias, name, expected=None)
        engine = SearchEngine(store, "fake", lambda _: encoder)
        for search in (engine.search, lambda query: engine.search_many([query])):
            with pytest.raises(StoreDamaged, match=message):
                search("Koch")
