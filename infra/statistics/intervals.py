"""Intervals for people to look at: shares, and means and mean differences with clustered observations."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from infra.statistics.two_arm import FloatArray, IntArray, InvalidStatisticsInput


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. `clusters` is the number of independent units behind it."""

    mean: float
    low: float
    high: float
    standard_error: float
    clusters: int


def clustered_mean(values: FloatArray, clusters: IntArray, *, confidence: float = 0.95) -> Estimate:
    """Mean of `values` (n,) with a cluster-robust interval; `clusters` (n,) names the unit of each value.

    With G clusters and residual sums u_c = sum_{i in c} (x_i - mean): SE^2 = G / (G - 1) sum_c u_c^2 / n^2, and
    Student's t with G - 1 degrees of freedom (Liang & Zeger 1986; Cameron & Miller 2015, eq. 11).
    One cluster or none gives an infinite interval; no value gives NaN.
    """
    if values.shape != clusters.shape:
        raise InvalidStatisticsInput(
            f"values {values.shape} and clusters {clusters.shape} must have one shape", field="clusters"
        )
    if not 0 < confidence < 1:
        raise InvalidStatisticsInput(f"confidence must lie in (0, 1), got {confidence}", field="confidence")
    if values.size == 0:
        return Estimate(float("nan"), float("-inf"), float("inf"), float("inf"), 0)
    mean = float(values.mean())
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=values - mean)
    groups = len(sums)
    if groups < 2:
        return Estimate(mean, float("-inf"), float("inf"), float("inf"), groups)
    error = float(np.sqrt(groups / (groups - 1) * np.square(sums).sum()) / values.size)
    half = float(stats.t.ppf(0.5 + confidence / 2, groups - 1)) * error
    return Estimate(mean, mean - half, mean + half, error, groups)


def clustered_difference(
    values_a: FloatArray, values_b: FloatArray, clusters: IntArray, *, confidence: float = 0.95
) -> Estimate:
    """Mean of a - b over matched observations (n,), clustered as in `clustered_mean`."""
    return clustered_mean(np.asarray(values_a) - np.asarray(values_b), clusters, confidence=confidence)


def clustered_bootstrap(
    values: FloatArray, clusters: IntArray, *, repetitions: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """As `clustered_mean`, by drawing whole clusters with replacement; percentile interval (Efron, Ann. Stat. 1979)."""
    point = clustered_mean(values, clusters, confidence=confidence)
    if point.clusters < 2:
        return point
    _, index = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(index, weights=values), np.bincount(index)
    draws = np.random.default_rng(seed).integers(0, point.clusters, size=(repetitions, point.clusters))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(point.mean, float(low), float(high), float(means.std(ddof=1)), point.clusters)


def wilson_interval(successes: float, trials: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) without trials (Wilson, JASA 1927)."""
    if not 0 <= successes <= trials:
        raise InvalidStatisticsInput(f"need 0 <= successes <= trials, got {successes} of {trials}", field="successes")
    if trials == 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    rate = successes / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * float(np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)))
    return max(0.0, centre - half), min(1.0, centre + half)
