"""Intervals for people to look at: differences of means with clustered observations."""

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

    With G clusters and residual sums u_c = sum_{i in c} (x_i - mean): SE^2 = G / (G - 1) sum_c u_c^2 / n^2, and Student's
    t with G - 1 degrees of freedom (Liang & Zeger 1986; Cameron & Miller 2015, eq. 11). One cluster or none gives an
    infinite interval; no value gives NaN.
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
