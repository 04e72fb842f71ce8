"""Exact confidence sequences of the mean of values in [0, 1], for one arm at a time: valid at every look, at any size.

For people to look at, where the asymptotic sequences of `infra.statistics.sequences` say too much: few people, or rates
near 0. Values may depend on each other as long as their mean given the past is one and the same.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024. Stakes known before:

    lambda_t = sqrt(2 ln(1 / level) / (t ln(1 + t) s2_{t-1})),   m_t = (1/2 + sum x) / (t + 1),
    s2_t = (1/4 + sum (x_i - m_i)^2) / (t + 1)
"""

import numpy as np
from scipy.special import betaln

from infra.statistics.betting import before
from infra.statistics.sequences import ConfidenceSequence
from infra.statistics.two_arm import FloatArray, InvalidStatisticsInput

LARGEST_STAKE = 0.5
"""Of the empirical-Bernstein bound; for betting, the share of its wealth that a bettor can lose to one person."""


def predictable_stakes(values: FloatArray, level: float) -> FloatArray:
    """lambda above for each of `values` (n,), from earlier ones alone; not limited yet."""
    t = np.arange(1, values.size + 1, dtype=np.float64)
    mean = (0.5 + np.cumsum(values)) / (t + 1)
    spread = (0.25 + before((values - mean) ** 2)) / t
    return np.asarray(np.sqrt(2 * np.log(1 / level) / (t * np.log(1 + t) * spread)))


def empirical_bernstein_sequence(values: FloatArray, alpha: float = 0.05) -> ConfidenceSequence:
    """Bounds after 1, 2, ..., n values in a closed form, alpha / 2 a side (theorem 2), never wider than before.

    low = (sum lambda x - ln(2 / alpha) - sum v psi(lambda)) / sum lambda,  v_t = (x_t - mean of earlier)^2,
    psi(l) = -ln(1 - l) - l. Raises InvalidStatisticsInput.
    """
    _check(values, alpha)
    low, high = _bernstein(values, alpha / 2), 1 - _bernstein(1 - values, alpha / 2)
    estimate = np.cumsum(values) / np.arange(1, values.size + 1)
    return ConfidenceSequence(estimate, np.maximum.accumulate(low), np.minimum.accumulate(high))


def _bernstein(values: FloatArray, level: float) -> FloatArray:
    stakes = np.minimum(predictable_stakes(values, level), LARGEST_STAKE)
    earlier = before(values) / np.maximum(np.arange(values.size), 1)
    price = np.log(1 / level) + np.cumsum((values - earlier) ** 2 * (-np.log1p(-stakes) - stakes))
    return np.asarray(np.maximum((np.cumsum(stakes * values) - price) / np.cumsum(stakes), 0.0))


def betting_interval(values: FloatArray, alpha: float = 0.05, points: int = 1000) -> tuple[float, float]:
    """Bounds after all `values`, never wider than before: the narrowest known (section 4, hedged capital).

    Every mean m on a grid of `points` steps is bet against from above and from below, half of the wealth each; those
    that never brought 1 / alpha are left, and one step more on either side. Memory: points x n. Raises
    InvalidStatisticsInput.
    """
    _check(values, alpha)
    means = np.linspace(0, 1, points + 1)[:, None]
    stakes = predictable_stakes(values, alpha / 2)
    distance = values - means
    with np.errstate(divide="ignore"):
        above = np.cumsum(np.log1p(np.minimum(stakes, LARGEST_STAKE / means) * distance), axis=1)
        below = np.cumsum(np.log1p(-np.minimum(stakes, LARGEST_STAKE / (1 - means)) * distance), axis=1)
    most = np.maximum(above, below).max(axis=1, initial=0.0) + np.log(0.5)
    left = np.flatnonzero(most <= np.log(1 / alpha))
    if not left.size:
        return 0.0, 1.0
    return max(0.0, float(left[0] - 1) / points), min(1.0, float(left[-1] + 1) / points)


def rate_interval(successes: float, people: float, alpha: float = 0.05) -> tuple[float, float]:
    """Bounds on a rate after `people` values of 0 or 1, of which `successes` were 1, from the counts alone.

    All m whose e-value B(1 + k, 1 + n - k) / (m^k (1 - m)^(n - k)) is below 1 / alpha: the likelihood of an even
    mixture of rates over that of m (Robbins, Ann. Math. Stat. 1970). Raises InvalidStatisticsInput.
    """
    if not 0 <= successes <= people or not 0 < alpha < 1:
        raise InvalidStatisticsInput(
            f"need 0 <= successes <= people and 0 < alpha < 1, got {successes}, {people}, {alpha}", field="successes"
        )
    k, rest = float(successes), float(people - successes)
    need = float(betaln(1 + k, 1 + rest) - np.log(1 / alpha))

    def bound(inside: float, outside: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                likely = (k * np.log(middle) if k else 0.0) + (rest * np.log1p(-middle) if rest else 0.0)
            inside, outside = (middle, outside) if likely > need else (inside, middle)
        return (inside + outside) / 2

    best = k / people if people else 0.5
    return (0.0 if not k else bound(best, 0.0)), (1.0 if not rest else bound(best, 1.0))


def _check(values: FloatArray, alpha: float) -> None:
    if not values.size or not bool(np.all((values >= 0) & (values <= 1))):
        raise InvalidStatisticsInput("need at least one value, all of them in [0, 1]", field="values")
    if not 0 < alpha < 1:
        raise InvalidStatisticsInput(f"alpha must lie in (0, 1), got {alpha}", field="alpha")
