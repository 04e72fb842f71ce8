"""Fixed-sample intervals: a share of people, and a mean difference when observations come in clusters."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from infra.statistics.two_arm import FloatArray, InvalidStatisticsInput


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. `clusters`: how many independent units it rests on."""

    mean: float
    low: float
    high: float
    standard_error: float
    clusters: int


def wilson_interval(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) without trials (Wilson, JASA 1927)."""
    if not 0 <= successes <= trials:
        raise InvalidStatisticsInput(f"need 0 <= successes <= trials, got {successes} of {trials}", field="successes")
    if trials == 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + confidence / 2))
    rate = successes / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * float(np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)))
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_mean(values: ArrayLike, clusters: Sequence[Hashable], confidence: float = 0.95) -> Estimate:
    """Mean of `values` with an interval that allows any dependence inside a cluster.

    se^2 = G / (G - 1) * sum_g (sum_{i in g} (y_i - ybar))^2 / n^2, Student's t with G - 1 degrees of freedom
    (Liang and Zeger, Biometrika 1986; the small-sample factor of Cameron and Miller, J. Hum. Resour. 2015).
    Raises InvalidStatisticsInput on NaN, on unequal lengths and on fewer than two clusters.
    """
    observed = np.asarray(values, dtype=np.float64)
    ids, count = _cluster_ids(observed, clusters)
    mean = float(observed.mean())
    sums = np.bincount(ids, weights=observed - mean, minlength=count)
    error = float(np.sqrt(count / (count - 1) * np.sum(sums**2))) / observed.shape[0]
    half = float(t.ppf(0.5 + confidence / 2, count - 1)) * error
    return Estimate(mean, mean - half, mean + half, error, count)


def clustered_difference(
    values_a: ArrayLike, values_b: ArrayLike, clusters: Sequence[Hashable], confidence: float = 0.95
) -> Estimate:
    """Mean of a - b over paired observations, clusters as in `clustered_mean`.

    `values_a[i]` and `values_b[i]` belong to the same unit (the same person and prompt, say), which lies in
    `clusters[i]`. Missing values are not guessed: drop such pairs first.
    """
    a, b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InvalidStatisticsInput(
            f"paired values need equal lengths in one dimension, got shapes {a.shape} and {b.shape}", field="values_b"
        )
    return clustered_mean(a - b, clusters, confidence)


def clustered_bootstrap(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    repetitions: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """As `clustered_mean`, by drawing whole clusters with replacement; percentile interval (Efron, Ann. Stat. 1979)."""
    observed = np.asarray(values, dtype=np.float64)
    ids, count = _cluster_ids(observed, clusters)
    sums, sizes = np.bincount(ids, weights=observed, minlength=count), np.bincount(ids, minlength=count)
    draws = np.random.default_rng(seed).integers(0, count, size=(repetitions, count))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(float(observed.mean()), float(low), float(high), float(means.std(ddof=1)), count)


def _cluster_ids(values: FloatArray, clusters: Sequence[Hashable]) -> tuple[np.ndarray, int]:
    if values.ndim != 1 or values.shape[0] != len(clusters):
        raise InvalidStatisticsInput(
            f"one cluster a value: got values of shape {values.shape} and {len(clusters)} clusters", field="clusters"
        )
    if not bool(np.all(np.isfinite(values))):
        raise InvalidStatisticsInput("values hold NaN or infinity; drop such observations first", field="values")
    known: dict[Hashable, int] = {}
    ids = np.array([known.setdefault(cluster, len(known)) for cluster in clusters], dtype=np.int64)
    if len(known) < 2:
        raise InvalidStatisticsInput(
            f"an interval needs at least two clusters, got {len(known)}; collect more people or prompts",
            field="clusters",
        )
    return ids, len(known)
