from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_benchmarks import make_benchmark

from eval.benchmarks.talentclef import load_sample
from eval.diagnostics.gender import GenderProbe, GenderReport, rank_biased_overlap
from eval.run import evaluate
from eval.systems import BASELINES
from eval.tables.diagnostics import tables_of_gender
from eval.tables.render import render
from jobsearch.types import TitleRecord

rankings = st.permutations("abcdefgh")


def test_overlap_computed_by_hand() -> None:
    # agreements at ranks 1 to 3: 0, 2/2, 2/3; p = .5
    by_hand = 2 / 3 * 0.5**3 + (0.5 / 0.5) * (0 + 1 * 0.5**2 + 2 / 3 * 0.5**3)
    assert rank_biased_overlap("abc", "bad", 0.5) == pytest.approx(by_hand)
    # The first rank weighs most.
    assert rank_biased_overlap("abcd", "abdc", 0.9) > rank_biased_overlap("abcd", "bacd", 0.9)


@given(rankings, rankings, st.floats(0.01, 0.99))
def test_overlap_is_a_similarity(first: list[str], second: list[str], p: float) -> None:
    overlap = rank_biased_overlap(first, second, p)
    assert 0 <= overlap <= 1 + 1e-9
    assert overlap == pytest.approx(rank_biased_overlap(second, first, p))
    assert rank_biased_overlap(first, first, p) == pytest.approx(1.0)
    assert (overlap > 1 - 1e-9) == (first == second) or p < 0.05
    assert rank_biased_overlap(first, [d.upper() for d in second], p) == 0


def test_overlap_of_empty_rankings() -> None:
    assert rank_biased_overlap([], [], 0.9) == 1.0
    assert rank_biased_overlap("a", [], 0.9) == 0.0


DOCUMENTS = {"m": "Arzt", "f": "ärztin", "k": "Koch", "n": "Notarzt", "nf": "Notärztin"}
BENCHMARK = make_benchmark(
    {"1": "arzt", "2": "Ärztin", "3": "Bäcker"},
    DOCUMENTS,
    {"1": {"m": 1, "n": 1}, "2": {"f": 1}},
    query_language="de",
    corpus_language="de",
)


def test_forms_are_paired_within_their_language() -> None:
    """maestro and maestra are a pair in Spanish, but not in English."""
    benchmark = make_benchmark({"1": "maestro", "2": "maestra"}, {}, {}, query_language="es")
    documents = (
        (1, TitleRecord("abogado", "es", "test", "corpus", doc_id="m")),
        (2, TitleRecord("abogada", "es", "test", "corpus", doc_id="f")),
        (3, TitleRecord("maestro", "en", "test", "corpus", doc_id="x")),
        (4, TitleRecord("maestra", "en", "test", "corpus", doc_id="y")),
    )
    corpus = replace(benchmark.corpus, languages=("en", "es"), documents=documents)
    probe = GenderProbe(replace(benchmark, corpus=corpus, documents=corpus.titles))
    probe.add("1", ["m", "x", "y", "f"])
    probe.add("2", ["f", "x", "y", "m"])
    report = probe.report({})
    assert report is not None
    assert report.corpus_share == 0.5
    assert report.pairs[0].overlap_of_jobs == pytest.approx(rank_biased_overlap("mxy", "mxy", 0.9))


def test_a_report_computed_by_hand() -> None:
    probe = GenderProbe(BENCHMARK)
    assert [q_id for q_id in "123" if probe.wants(q_id)] == ["1", "2"]
    probe.add("1", ["m", "n", "k", "f", "nf"])
    probe.add("2", ["f", "nf", "k", "m", "n"])
    report = probe.report({"1": 1.0, "2": 0.5})
    assert report is not None
    (pair,) = report.pairs
    assert (pair.masculine_title, pair.feminine_title) == ("arzt", "Ärztin")
    assert pair.overlap == pytest.approx(rank_biased_overlap("mnkfx", "fxkmn", 0.9))
    # arzt, notarzt, koch: the same jobs in the same order
    assert pair.overlap_of_jobs == pytest.approx(1.0)
    assert (pair.masculine_map, pair.feminine_map) == (1.0, 0.5)
    assert (pair.masculine_share, report.corpus_share) == (0.5, 0.5)
    assert report.means["masculine_map"] == 1.0
    assert GenderReport.plain(report.as_dict()) == asdict(report)


def test_shares_count_gendered_titles_in_the_first_ten_documents() -> None:
    documents = DOCUMENTS | {str(n): f"Beruf {n}" for n in range(10)}
    probe = GenderProbe(replace(BENCHMARK, documents=documents))
    probe.add("1", ["m", "n", "f", *map(str, range(10)), "nf"])
    probe.add("2", [*map(str, range(10)), "f"])
    report = probe.report({})
    assert report is not None
    assert report.pairs[0].masculine_share == pytest.approx(2 / 3)
    assert report.pairs[0].feminine_share is report.means["feminine_share"] is None
    assert report.pairs[0].masculine_map is None


def test_a_language_without_forms_has_no_report() -> None:
    (english, chinese) = load_sample(pairs=["en-en", "zh-zh"])
    for benchmark in (english, chinese):
        assert evaluate(benchmark, BASELINES["random"], language_check=False).gender is None


def test_the_table_of_gender() -> None:
    cells = [evaluate(BENCHMARK, BASELINES[name], language_check=False) for name in ("tfidf",)]
    text = render(tables_of_gender(cells))
    assert text.startswith("test: gender")
    assert "rank-biased overlap (p = 0.9, 100 ranks)" in text
    assert render(tables_of_gender([])) == ""
