"""Intervals and tests, compared with known values and values computed by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.statistics import bootstrap_interval, holm, paired_test


def test_holms_correction_computed_by_hand() -> None:
    # sorted .01 .02 .03 .04, times 4, 3, 2, 1: .04 .06 .06 .04; the last is raised to .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_keeps_the_order_and_never_lowers_a_p_value(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
    assert min(corrected) == pytest.approx(min(1.0, min(p_values) * len(p_values)))


def test_the_interval_of_a_normal_sample() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, size=400)
    [(low, high)] = bootstrap_interval(values[None])
    error = values.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_all_metrics_use_the_same_resamples() -> None:
    values = np.random.default_rng(1).random((1, 50))
    both = bootstrap_interval(np.concatenate([values, values * 0.5]))
    assert both[1] == pytest.approx(tuple(end * 0.5 for end in both[0]))
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_the_interval_of_one_query_is_its_value() -> None:
    assert bootstrap_interval(np.array([[0.25], [1.0]])) == [(0.25, 0.25), (1.0, 1.0)]


def test_p_value_of_five_queries_by_enumeration() -> None:
    first, second = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.3, 0.3, 0.35, 0.5, 0.45])
    differences = second - first
    signs = np.array(list(product([1, -1], repeat=5)))
    means = np.abs((signs * differences).mean(axis=1))
    expected = np.mean(means >= abs(differences.mean()) - 1e-12)
    test = paired_test(first, second)
    assert test.p == pytest.approx(expected)
    assert test.difference == pytest.approx(differences.mean())
    assert test.low < test.difference < test.high


def test_the_test_detects_direction_and_size() -> None:
    generator = np.random.default_rng(2)
    first = generator.random(200)
    better = np.clip(first + generator.normal(0.05, 0.05, 200), 0, 1)
    up, down = paired_test(first, better), paired_test(better, first)
    assert up.p < 0.001 and down.p < 0.001
    assert up.difference == pytest.approx(-down.difference)
    assert up.low > 0 > down.high
    noise = paired_test(first, first + np.tile([0.05, -0.05], 100))
    assert noise.p > 0.05
    assert noise.low < 0 < noise.high


def test_equal_systems_do_not_differ() -> None:
    same = np.array([0.5, 0.25])
    test = paired_test(same, same)
    assert (test.difference, test.low, test.high, test.p) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("size", [0, 3])
def test_unequal_or_empty_values_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_test(np.zeros(size), np.zeros(0))
