import math
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.metrics import MEASURES, score, score_ranking

#: Metric -> its name in ranx.
RANX = {
    "MAP": "map",
    "MRR": "mrr",
    "nDCG": "ndcg",
    "P@5": "precision@5",
    "P@10": "precision@10",
    "P@100": "precision@100",
    "R@100": "recall@100",
}


def test_metrics_of_five_documents_computed_by_hand() -> None:
    # Ranks 2 and 4 are relevant, a third relevant document ("f") is not found.
    scores = score(
        {"q": [(doc, 1.0 - place / 10) for place, doc in enumerate("abcde")]},
        {"q": {"b": 1, "d": 1, "f": 1, "a": 0}},
    )
    dcg = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert scores.means == pytest.approx(
        {
            "MAP": (1 / 2 + 2 / 4) / 3,  # divided by all three relevant documents
            "MRR": 1 / 2,
            "nDCG": dcg / ideal,
            "P@5": 2 / 5,
            "P@10": 2 / 10,
            "P@100": 2 / 100,
            "R@100": 2 / 3,
        },
        abs=1e-9,
    )


def test_graded_judgements_have_linear_gains() -> None:
    values = score_ranking(["a", "b"], {"a": 1, "b": 3})
    dcg = 1 / math.log2(2) + 3 / math.log2(3)
    assert values["nDCG"] == pytest.approx(dcg / (3 / math.log2(2) + 1 / math.log2(3)))
    assert values["MAP"] == 1.0


def test_a_judged_query_without_a_ranking_scores_zero_and_is_reported() -> None:
    scores = score({"1": [("a", 0.5)]}, {"1": {"a": 1}, "2": {"a": 1}, "3": {"b": 1}})
    assert scores.means["MAP"] == pytest.approx(1 / 3)
    assert scores.missing_queries == ("2", "3")
    assert scores.per_query["2"] == dict.fromkeys(MEASURES, 0.0)


def test_a_query_without_judgements_is_ignored_and_reported() -> None:
    scores = score({"1": [("a", 0.5)], "x": [("a", 0.5)]}, {"1": {"a": 1}})
    assert scores.means["MAP"] == 1.0
    assert scores.unjudged_queries == ("x",)
    assert set(scores.per_query) == {"1"}


def test_the_order_of_equal_scores_counts() -> None:
    # trec_eval alone would order equal scores by document id, the other way round.
    assert score_ranking(["a", "z"], {"a": 1})["MRR"] == 1.0
    assert score_ranking(["z", "a"], {"a": 1})["MRR"] == 0.5
    tied = score({"q": [("a", 0.7), ("z", 0.7)]}, {"q": {"a": 1}})
    assert tied.means["MRR"] == 1.0


def test_an_empty_ranking_scores_zero() -> None:
    assert score({"q": []}, {"q": {"a": 1}}).means == dict.fromkeys(MEASURES, 0.0)


def test_a_document_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="2 documents has only 1"):
        score_ranking(["a", "a"], {"a": 1})


def test_no_judgements_are_refused() -> None:
    with pytest.raises(ValueError, match="no judgements"):
        score({"q": [("a", 1.0)]}, {})


DOCUMENTS = [f"d{number}" for number in range(12)]
QUERIES = ["1", "2", "3", "4"]


@st.composite
def runs_and_qrels(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    judged = draw(st.lists(st.sampled_from(QUERIES), min_size=1, unique=True))
    answered = draw(st.lists(st.sampled_from(QUERIES), min_size=1, unique=True))
    relevant = st.lists(st.sampled_from(DOCUMENTS), min_size=1, unique=True)
    qrels = {q_id: dict.fromkeys(draw(relevant), 1) for q_id in judged}
    run = {}
    for q_id in answered:
        documents = draw(st.lists(st.sampled_from(DOCUMENTS), min_size=1, unique=True))
        # Few distinct scores, so that some are equal.
        values = draw(st.lists(st.integers(0, 3), min_size=len(documents), max_size=len(documents)))
        run[q_id] = list(zip(documents, sorted((v / 4 for v in values), reverse=True), strict=True))
    return run, qrels


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=runs_and_qrels())
def test_metrics_equal_those_of_the_official_scorer(
    ranx: ModuleType, case: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    run, qrels = case
    ours = score(run, qrels)
    # Without compilation, ranx keeps the order of equal scores.
    theirs = ranx.evaluate(
        ranx.Qrels(qrels),
        ranx.Run({q_id: dict(ranking) for q_id, ranking in run.items()}),
        list(RANX.values()),
        make_comparable=True,
    )
    for name, theirs_name in RANX.items():
        assert ours.means[name] == pytest.approx(theirs[theirs_name], abs=1e-6), name


@settings(max_examples=50, deadline=None)
@given(case=runs_and_qrels())
def test_metrics_are_between_0_and_1(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    run, qrels = case
    scores = score(run, qrels)
    for values in (scores.means, *scores.per_query.values()):
        assert set(values) == set(MEASURES)
        assert all(0.0 <= value <= 1.0 + 1e-9 for value in values.values())
        assert values["MAP"] <= values["R@100"] + 1e-9  # each precision is at most 1


@settings(max_examples=25, deadline=None)
@given(relevant=st.sets(st.sampled_from(DOCUMENTS), min_size=1))
def test_a_perfect_ranking_scores_one(relevant: set[str]) -> None:
    ranking = sorted(relevant) + [doc for doc in DOCUMENTS if doc not in relevant]
    values = score_ranking(ranking, dict.fromkeys(relevant, 1))
    assert [values[name] for name in ("MAP", "MRR", "nDCG", "R@100")] == pytest.approx([1.0] * 4)
