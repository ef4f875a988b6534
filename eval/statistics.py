"""How far figures can be trusted: bootstrap intervals, paired tests, Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 2_000
#: Random exchanges of two systems' values; the smallest p-value is two in as many.
EXCHANGES = 10_000
SEED = 0
# Resamples that are held at a time.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The difference of two systems over the same queries.

    Args:
        difference: mean of the second minus mean of the first.
        low, high: 95% bootstrap interval of it, over the queries.
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
        values: (metrics, queries) float64; all metrics are resampled alike.
        seed: of the resampling.

    Returns:
        Lower and upper end, one a metric; the mean itself twice if there is one query only.
    """
    from scipy.stats import bootstrap

    if values.shape[-1] < 2:
        return [(mean, mean) for mean in values.mean(axis=-1).tolist()]
    found = bootstrap(
        (values,),
        np.mean,
        axis=-1,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return list(zip(found.low.tolist(), found.high.tolist(), strict=True))


def paired_test(first: Values, second: Values, seed: int = SEED) -> PairedTest:
    """Compare two systems on the same queries.

    The randomisation test exchanges the two values of a query at random: it asks how often so large
    a difference arises if the systems are the same (Smucker, Allan and Carterette, "A Comparison of
    Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007).

    ``first`` and ``second`` are (queries,) float64 in the same order.

    Raises:
        ValueError: there are no queries, or not as many on both sides.
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
    """Correct p-values for their number, step down (Holm, Scandinavian J. of Statistics 6, 1979).

    The smallest is multiplied by how many there are, the next by one less and so on; none becomes
    smaller than the one before it, nor larger than 1.
    """
    corrected = [0.0] * len(p_values)
    worst = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[place] * (len(p_values) - done)))
        corrected[place] = worst
    return corrected
