"""Statistics of metrics: bootstrap intervals, paired tests, Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

#: Confidence level of intervals.
LEVEL = 0.95
#: Number of resamples of the bootstrap.
RESAMPLES = 2_000
#: Number of random exchanges in the paired test; its smallest p-value is about 2 / ``EXCHANGES``.
EXCHANGES = 10_000
SEED = 0
# Number of resamples in memory at a time.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The difference of two systems over the same queries.

    Args:
        difference: mean of the second minus mean of the first.
        low, high: 95% bootstrap interval of the difference, over the queries.
        p: two-sided p-value of the paired randomisation test.
    """

    difference: float
    low: float
    high: float
    p: float


def bootstrap_interval(values: Values, seed: int = SEED) -> list[tuple[float, float]]:
    """95% percentile bootstrap intervals of means over queries.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Args:
        values: (metrics, queries) float64; all metrics use the same resamples.
        seed: seed of the resampling.

    Returns:
        Lower and upper end, for each metric; both are the mean if there is only one query.
    """
    from scipy.stats import bootstrap

    if values.shape[-1] < 2:
        return [(mean, mean) for mean in values.mean(axis=-1).tolist()]
    interval = bootstrap(
        (values,),
        np.mean,
        axis=-1,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return list(zip(interval.low.tolist(), interval.high.tolist(), strict=True))


def paired_test(first: Values, second: Values, seed: int = SEED) -> PairedTest:
    """Compare two systems on the same queries.

    The randomisation test exchanges the two values of each query at random. Its p-value estimates
    how often two equal systems would differ at least this much (Smucker, Allan and Carterette, "A
    Comparison of Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007).

    Args:
        first: (queries,) float64, values of the first system.
        second: (queries,) float64, values of the second system for the same queries in the same
            order.
        seed: seed of the test and of the bootstrap.

    Raises:
        ValueError: there are no queries, or the numbers of queries differ.
    """
    from scipy.stats import permutation_test

    if first.shape != second.shape or not first.size:
        raise ValueError(f"{first.size} and {second.size} values cannot be paired")
    differences = second - first
    [(low, high)] = bootstrap_interval(differences[None], seed)
    if not differences.any():
        return PairedTest(0.0, low, high, 1.0)
    p = permutation_test(
        (second, first),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=EXCHANGES,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    ).pvalue
    return PairedTest(float(differences.mean()), low, high, float(p))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple tests (Holm, Scandinavian Journal of Statistics 6, 1979).

    With n values, the smallest is multiplied by n, the next by n - 1, and so on. A corrected value
    is at least that of the next smaller p-value, and at most 1.

    Returns:
        The corrected values, in the order of ``p_values``.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected
