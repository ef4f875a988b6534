"""Facts of small benchmarks, computed by hand."""

import random
from statistics import fmean

import pytest
from small_benchmarks import make_benchmark

from eval.diagnostics.facts import copies_of_queries, facts_of
from eval.metrics import score_ranking

DOCUMENTS = {"a": "Nurse", "b": "nurse", "c": "cook", "d": "head cook", "e": "vet"}


def test_copies_are_found_regardless_of_case() -> None:
    benchmark = make_benchmark(
        {"1": "NURSE", "2": "cook", "3": "baker"}, DOCUMENTS, {"1": {"b": 1}, "2": {"d": 1}}
    )
    assert copies_of_queries(benchmark) == {"1": {"a", "b"}, "2": {"c"}}
    facts = facts_of(benchmark)
    # No copy of "cook" is relevant; one copy of "nurse" is.
    assert (facts.copies, facts.copies_not_relevant) == (2, 1)
    assert facts.repeated_titles == 1


def test_contradictions() -> None:
    def found(judged: dict[str, int]) -> int:
        return facts_of(make_benchmark({"1": "nurse"}, DOCUMENTS, {"1": judged})).contradictions

    assert found({"a": 1, "c": 1}) == 1
    assert found({"a": 1, "b": 0}) == 1
    assert found({"a": 1, "b": 1}) == 0
    assert found({"c": 1}) == 0


@pytest.mark.parametrize("relevant", [1, 2, 4, 5])
def test_expected_map_of_a_random_ranking(relevant: int) -> None:
    judged = dict.fromkeys(list(DOCUMENTS)[:relevant], 1)
    expected = facts_of(make_benchmark({"1": "x"}, DOCUMENTS, {"1": judged})).random_map
    shuffled, generator = list(DOCUMENTS), random.Random(0)
    values = []
    for _ in range(2000):
        generator.shuffle(shuffled)
        values.append(score_ranking(shuffled, judged)["MAP"])
    assert fmean(values) == pytest.approx(expected, abs=0.015)


def test_highest_map_of_a_short_run() -> None:
    documents = {str(n): f"title {n}" for n in range(200)}
    qrels = {"1": {str(n): 1 for n in range(20)}, "2": {"0": 1}, "3": {"0": 0}}
    facts = facts_of(make_benchmark({"1": "x", "2": "y", "3": "z"}, documents, qrels))
    # 10 of 20, 1 of 1, and a query without relevant documents
    assert facts.best_map == {"10": pytest.approx((0.5 + 1 + 0) / 3), "100": pytest.approx(2 / 3)}
    assert facts.random_map < 0.1
