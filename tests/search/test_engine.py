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
from jobsearch.types import Filters, SourceInfo, TitleRecord, VectorStorage
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


@pytest.mark.parametrize(
    ("filters", "note"),
    [
        (
            Filters(sources="esco"),
            "nothing found: no searched title has 'esco' for `sources` (there is sample)",
        ),
        (
            Filters(splits=("test", "validation")),
            "nothing found: no searched title has 'test' for `splits` (the titles have none); no "
            "searched title has 'validation' for `splits` (the titles have none)",
        ),
        (
            Filters(isco="9629", kinds="hidden"),
            "nothing found: loosen `isco`, `kinds`",
        ),
    ],
)
def test_an_answer_without_hits_says_why(engine, filters: Filters, note: str) -> None:
    assert engine.search("cook", to=["en"], filters=filters).notes == (note,)
    assert [r.notes for r in engine.search_many(["cook"], to=["en"], filters=filters)] == [(note,)]


def test_an_unknown_concept_is_told_from_one_without_hits(engine) -> None:
    unknown = engine.search("cook", to=["en"], filters=Filters(concept_ids="urn:none"))
    [note] = unknown.notes
    assert "no searched title has 'urn:none' for `concept_ids` (an id is for example urn:" in note
    far = engine.search("cook", to=["en"], filters=Filters(concept_ids=NURSE), min_score=0.99)
    assert far.notes == ("nothing found: loosen `concept_ids` or lower `min_score`",)
    some = engine.search("cook", to=["en"], filters=Filters(concept_ids=[NURSE, "urn:none"]))
    assert some.hits
    assert some.notes == (note.removeprefix("nothing found: "),)


def test_answers_that_need_no_explanation(engine) -> None:
    assert engine.search("cook", to=["en"], filters=Filters(sources="sample")).notes == ()
    assert engine.search("cook", to=["en", "de"]).notes == ()
    assert engine.search_many(["cook"], to=["en", "de"])[0].as_dict()["notes"] == []


def test_a_note_names_the_collection_that_has_the_value(tmp_path: Path) -> None:
    """Own titles in English, pretrained; others in English, fine-tuned, and in German."""
    encoders = {v: FakeEncoder(v) for v in ("pretrained", "finetuned")}
    with closing(open_store(":memory:")) as store:
        for language, variant, source, concept in (
            ("en", "pretrained", "own", "own:1"),
            ("en", "finetuned", "esco", "esco:1"),
            ("de", "finetuned", "ba", "ba:1"),
        ):
            info = encoders[variant].info
            alias = f"jobs__{language}__fake__{variant}"
            record = TitleRecord("cook", language, source, "preferred", "test", concept)
            sources = (SourceInfo(source, "test", "1", "0", 1),)
            metadata = replace(new_metadata(language, info, sources), expected_points=1)
            name = build_name(alias, info)
            store.create(name, metadata)
            vector = encoders[variant].encode_documents(["cook"])
            store.upsert(name, PointBatch([record.point_id], vector, [record.payload("run")]))
            store.finish(name, metadata)
            store.swap_alias(alias, name, expected=None)
        engine = SearchEngine(store, "fake", encoders.__getitem__)

        def notes(**conditions: str) -> tuple[str, ...]:
            return engine.search("cook", to=["en"], filters=Filters(**conditions)).notes

        start = "nothing found: no searched title has"
        assert notes(sources="own") == (
            f"{start} 'own' for `sources` (there is esco); jobs__en__fake__pretrained has it: give "
            '`variant="pretrained"` to search there',
        )
        assert notes(concept_ids="ba:1") == (
            f"{start} 'ba:1' for `concept_ids` (an id is for example esco:1); "
            'jobs__de__fake__finetuned has it: give `to="de"` to search there',
        )
        assert notes(splits="none") == (f"{start} 'none' for `splits` (there is test)",)


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
    assert grouped.hits[0].title not in grouped.hits[0].others["en"]


def test_grouping_gives_one_hit_a_concept_over_all_languages(engine) -> None:
    """The hit is the concept's best title, and lists the others by language, best first."""
    plain = [
        hit
        for language in ("en", "de")
        for hit in engine.search("nurse", to=[language], variant="pretrained", top=1000).hits
    ]
    titles: dict[str, list[tuple[str, str]]] = {}
    for hit in sorted(plain, key=lambda hit: (-hit.score, hit.point_id)):
        titles.setdefault(hit.concept_id, []).append((hit.language, hit.title))
    wanted = {"to": ["en", "de"], "variant": "pretrained", "group_by_concept": True}
    grouped = engine.search("nurse", **wanted, top=1000).hits
    assert len(titles) == 120
    assert [hit.concept_id for hit in grouped] == list(titles)
    for hit, ((language, best), *rest) in zip(grouped, titles.values(), strict=True):
        assert (hit.language, hit.title) == (language, best)
        others = {
            code: tuple(title for other, title in rest if other == code) for code in ("en", "de")
        }
        assert hit.others == {code: found for code, found in others.items() if found}
    assert {code for hit in grouped for code in hit.others} == {"en", "de"}


@pytest.mark.parametrize("top", [1, 2, 7, 50])
def test_the_other_titles_do_not_depend_on_the_number_of_hits(engine, top: int) -> None:
    wanted = {"to": ["en", "de"], "variant": "pretrained", "group_by_concept": True}
    some = engine.search("nurse", **wanted, top=top).hits
    assert some == engine.search("nurse", **wanted, top=1000).hits[:top]
    [many] = engine.search_many(["nurse"], **wanted, top=top)
    assert [(hit.point_id, hit.others) for hit in many] == [(h.point_id, h.others) for h in some]


def test_grouping_respects_filters_and_the_lowest_score(engine) -> None:
    wanted = {"to": ["en", "de"], "variant": "pretrained", "group_by_concept": True}
    [nurse] = engine.search("nurse", **wanted, filters=Filters(concept_ids=NURSE)).hits
    kinds = engine.search(
        "nurse", **wanted, filters=Filters(concept_ids=NURSE, kinds="preferred")
    ).hits[0]
    assert {"en", "de"} == nurse.others.keys()
    assert sum(map(len, kinds.others.values())) < sum(map(len, nurse.others.values()))
    cut = engine.search("nurse", **wanted, filters=Filters(concept_ids=NURSE), min_score=0.6)
    plain = engine.search(
        "nurse", to=["en", "de"], variant="pretrained", filters=Filters(concept_ids=NURSE),
        min_score=0.6, top=100,
    )  # fmt: skip
    assert 1 < len(plain.hits) < 1 + sum(map(len, nurse.others.values()))
    listed = [cut.hits[0].title, *(t for titles in cut.hits[0].others.values() for t in titles)]
    assert sorted(listed) == sorted(hit.title for hit in plain.hits)


def test_grouping_over_variants_orders_concepts_by_rank(engine) -> None:
    """Cosines of two variants cannot be compared: ranks within the languages decide."""
    alone = {
        code: [h.concept_id for h in engine.search("Koch", to=[code], group_by_concept=True).hits]
        for code in ("en", "zh")
    }
    by_rank = [c for pair in zip(alone["en"], alone["zh"], strict=True) for c in pair]
    result = engine.search("Koch", to=["en", "zh"], group_by_concept=True)
    assert [hit.concept_id for hit in result.hits] == list(dict.fromkeys(by_rank))[:10]


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
    assert result.notes == (
        "the hits are ordered by their rank within their language, not by score: cosines of "
        "finetuned and pretrained cannot be compared",
    )


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
    with pytest.raises(CollectionNotFound, match="model mpnet; it has titles for model builtin:"):
        engine.search("Koch", to=["en"])
    with closing(open_store(":memory:")) as empty:
        engine = SearchEngine(empty, "mpnet", lambda _variant: builtin)
        with pytest.raises(CollectionNotFound, match="model mpnet; it is empty"):
            engine.search("Koch")


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
