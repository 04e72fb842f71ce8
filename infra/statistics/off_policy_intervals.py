"""Off-policy estimates with intervals, and bounds that hold at every sample size at once.

Each estimator is a mean of one score an observation (its influence function), so that one clustered interval serves
them all. w = pi_new / pi_logged, or 1 / P(observed) for what is seen of some only.
"""

import numpy as np
from scipy import optimize, special

from infra.statistics.intervals import Estimate, clustered_mean
from infra.statistics.two_arm import FloatArray, IntArray, InvalidStatisticsInput


def inverse_propensity_scores(rewards: FloatArray, weights: FloatArray, clip: float = np.inf) -> FloatArray:
    """w r, weights clipped from above at `clip`; the mean is IPS (Horvitz and Thompson, JASA 1952). Arrays (n,)."""
    return np.asarray(np.minimum(weights, clip) * rewards)


def self_normalised_scores(rewards: FloatArray, weights: FloatArray) -> FloatArray:
    """v + w (r - v) / mean(w), v = sum(w r) / sum(w): the mean is v, the variance that of SNIPS by the delta method
    (Owen, Monte Carlo theory, 2013, eq. 9.9). NaN when all weights are 0."""
    mean = float(np.mean(weights)) if weights.size else 0.0
    if mean <= 0:
        return np.full(weights.shape, np.nan)
    value = float(np.mean(weights * rewards)) / mean
    return np.asarray(value + weights * (rewards - value) / mean)


def doubly_robust_scores(
    rewards: FloatArray, weights: FloatArray, predicted_logged: FloatArray, predicted_new: FloatArray
) -> FloatArray:
    """q_new + w (r - q_logged) (Dudik, Langford, Li, ICML 2011); the mean is DR. Arrays (n,)."""
    return np.asarray(predicted_new + weights * (rewards - predicted_logged))


def switch_scores(
    rewards: FloatArray, weights: FloatArray, predicted_logged: FloatArray, predicted_new: FloatArray, threshold: float
) -> FloatArray:
    """SWITCH-DR: q_new + w 1[w <= threshold] (r - q_logged) (Wang, Agarwal, Dudik, ICML 2017). Arrays (n,).

    Where a weight is large the model is believed instead: less variance, the model's bias there.
    """
    kept = np.where(weights <= threshold, weights, 0.0)
    return doubly_robust_scores(rewards, kept, predicted_logged, predicted_new)


def off_policy_interval(scores: FloatArray, clusters: IntArray, *, confidence: float = 0.95) -> Estimate:
    """Mean of `scores` (n,) with an interval robust to clusters (people), as `clustered_mean`."""
    return clustered_mean(scores, clusters, confidence=confidence)


def always_valid_interval(rewards: FloatArray, weights: FloatArray, *, alpha: float = 0.05) -> tuple[float, float]:
    """Bounds (low, high) on the mean reward, rewards in [0, 1], that hold at all n at once with probability 1 - alpha.

    `weights` (n,) >= 0 have mean 1 given the past and need no upper bound; arrays are in the order of time. The lower
    bound is the gamma-exponential mixture over x = w r, the upper one that over w (1 - r), alpha / 2 each (Howard,
    Ramdas, McAuliffe, Sekhon, Ann. Stat. 2021, proposition 9; as in the library VowpalWabbit/estimators).
    """
    if np.any(weights < 0) or np.any((rewards < 0) | (rewards > 1)):
        raise InvalidStatisticsInput("rewards must lie in [0, 1] and weights be at least 0", field="rewards")
    if not 0 < alpha < 1:
        raise InvalidStatisticsInput(f"alpha must lie in (0, 1), got {alpha}", field="alpha")
    low = _lower_bound(weights * rewards, alpha / 2)
    return low, 1.0 - _lower_bound(weights * (1 - rewards), alpha / 2)


def always_valid_doubly_robust(
    rewards: FloatArray,
    weights: FloatArray,
    predicted_logged: FloatArray,
    predicted_new: FloatArray,
    largest_weight: float,
    *,
    alpha: float = 0.05,
) -> tuple[float, float]:
    """Bounds (low, high) on the mean reward of the new policy from doubly robust scores, at all n at once.

    x = q_new + w (r - q_logged) with r, q in [0, 1] and 0 <= w <= `largest_weight` = c has the mean sought and is at
    least -c, so (x + c) / (1 + c) is at least 0 with a mean in [0, 1]: the lower bound of `always_valid_interval`
    holds for it, and for 1 - x likewise. c must be known beforehand. Raises InvalidStatisticsInput for larger weights:
    clipped ones would bound another mean.
    """
    inside = [np.all((each >= 0) & (each <= 1)) for each in (rewards, predicted_logged, predicted_new)]
    if not all(inside) or np.any(weights < 0) or np.any(weights > largest_weight):
        raise InvalidStatisticsInput(
            f"rewards and predictions must lie in [0, 1] and weights in [0, {largest_weight:g}]", field="weights"
        )
    if not 0 < alpha < 1:
        raise InvalidStatisticsInput(f"alpha must lie in (0, 1), got {alpha}", field="alpha")
    x, c = doubly_robust_scores(rewards, weights, predicted_logged, predicted_new), largest_weight

    def lower(values: FloatArray) -> float:
        return (1 + c) * _lower_bound((values + c) / (1 + c), alpha / 2) - c

    return max(0.0, lower(x)), min(1.0, 1.0 - lower(1 - x))


def gamma_exponential_log_wealth(total: float, variance: float, rho: float) -> float:
    """log wealth against the null after a centred sum `total` = sum (x - mu) with intrinsic time `variance`.

    s + v + rho ln rho - (v + rho) ln(s + v + rho) + ln g(v + rho, s + v + rho) - ln g(rho, rho), g the lower incomplete
    gamma function; `rho` > 0 is the precision of the mixture. -inf where the sum is far below its mean.
    """
    whole = total + variance + rho
    if whole <= 0:
        return float("-inf")
    with np.errstate(divide="ignore"):
        mixture = np.log(special.gammainc(variance + rho, whole)) + special.gammaln(variance + rho)
    prior = np.log(special.gammainc(rho, rho)) + special.gammaln(rho)
    return float(total + variance + rho * np.log(rho) - (variance + rho) * np.log(whole) + mixture - prior)


def _lower_bound(values: FloatArray, alpha: float, rho: float = 1.0) -> float:
    """Lower bound on the mean of `values` >= 0, itself in [0, 1]; intrinsic time about a running mean of the past."""
    n = values.size
    if n == 0:
        return 0.0
    before = np.concatenate(([0.0], np.cumsum(values)[:-1]))
    variance = float(np.sum((values - (before + 0.5) / np.arange(1, n + 1)) ** 2))
    total, threshold = float(values.sum()), float(-np.log(alpha))

    def excess(mean: float) -> float:
        return gamma_exponential_log_wealth(total - n * mean, variance, rho) - threshold

    highest = min(1.0, total / n)
    if excess(0.0) <= 0:
        return 0.0
    if excess(highest) >= 0:
        return highest
    return float(optimize.brentq(excess, 0.0, highest))
