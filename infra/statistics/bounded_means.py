"""Exact confidence sequences of the mean of values in [0, 1], for one arm at a time: valid at every look, at any size.

For people to look at, where the asymptotic sequences of `infra.statistics.sequences` say too much: few people, or rates
near 0. Values may depend on each other as long as their mean given the past is one and the same.

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024. Stakes known before:

    lambda_t = sqrt(2 ln(1 / level) / (t ln(1 + t) s2_{t-1})),   m_t = (1/2 + sum x) / (t + 1),
    s2_t = (1/4 + sum (x_i - m_i)^2) / (t + 1)
"""

import math

import numpy as np
from scipy.special import betaln

from infra.statistics.betting import before
from infra.statistics.sample_ratio import log_dirichlet_factor
from infra.statistics.sequences import ConfidenceSequence, asymptotic_rho
from infra.statistics.two_arm import FloatArray, InvalidStatisticsInput

LARGEST_STAKE = 0.5
"""Of the empirical-Bernstein bound; for betting, the share of its wealth that a bettor can lose to one person."""
RATE_PEOPLE = 1000.0
"""People at which bounds on a rate are narrowest: fixed, as it has to be known before the data."""
MOST_TO_BET = 2000
"""Values for which `mean_interval` keeps a bettor for every mean on the grid."""


def predictable_stakes(values: FloatArray, level: float) -> FloatArray:
    """lambda above for each of `values` (n,), from earlier ones alone; not limited yet."""
    t = np.arange(1, values.size + 1, dtype=np.float64)
    mean = (0.5 + np.cumsum(values)) / (t + 1)
    spread = (0.25 + before((values - mean) ** 2)) / t
    return np.asarray(np.sqrt(2 * np.log(1 / level) / (t * np.log(1 + t) * spread)))


def mean_interval(values: FloatArray, alpha: float = 0.05) -> tuple[float, float]:
    """The narrowest exact bounds known here on the mean of `values` (n,) in [0, 1], valid at every look: by the counts
    where all are 0 or 1, by betting up to `MOST_TO_BET`, else empirical Bernstein. Raises InvalidStatisticsInput."""
    _check(values, alpha)
    if bool(np.all((values == 0) | (values == 1))):
        return rate_interval(float(values.sum()), values.size, alpha, RATE_PEOPLE)
    if values.size <= MOST_TO_BET:
        return betting_interval(values, alpha)
    found = empirical_bernstein_sequence(values, alpha)
    return float(found.low[-1]), float(found.high[-1])


def empirical_bernstein_sequence(
    values: FloatArray, alpha: float = 0.05, *, shrunken: bool = True
) -> ConfidenceSequence:
    """Bounds after 1, 2, ..., n values in a closed form, alpha / 2 a side (theorem 2), never wider than before.

    low = (sum lambda x - ln(2 / alpha) - sum v psi(lambda)) / sum lambda,  v_t = (x_t - centre_{t-1})^2,
    psi(l) = -ln(1 - l) - l. `shrunken`: the centre is m above, as in the paper; else the mean of the earlier values, 0
    at first, as the library confseq has it: a little wider. Raises InvalidStatisticsInput.
    """
    _check(values, alpha)
    low, high = _bernstein(values, alpha / 2, shrunken), 1 - _bernstein(1 - values, alpha / 2, shrunken)
    estimate = np.cumsum(values) / np.arange(1, values.size + 1)
    return ConfidenceSequence(estimate, np.maximum.accumulate(low), np.minimum.accumulate(high))


def _bernstein(values: FloatArray, level: float, shrunken: bool) -> FloatArray:
    stakes = np.minimum(predictable_stakes(values, level), LARGEST_STAKE)
    n = np.arange(values.size)
    earlier = (0.5 + before(values)) / (n + 1) if shrunken else before(values) / np.maximum(n, 1)
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


def rate_interval(
    successes: float, people: float, alpha: float = 0.05, people_at_best: float | None = None
) -> tuple[float, float]:
    """Bounds on a rate after `people` values of 0 or 1, of which `successes` were 1, from the counts alone.

    All m whose e-value B(a + k, b + n - k) / (B(a, b) m^k (1 - m)^(n - k)) is below 1 / alpha. a = b = 1: the
    likelihood of an even mixture of rates over that of m (Robbins, Ann. Math. Stat. 1970). With `people_at_best`, fixed
    before the data, a = c m and b = c (1 - m): a mixture about m itself, as wide as makes the bounds narrowest there
    (Howard, Ramdas, McAuliffe, Sekhon, Ann. Stat. 2021, proposition 7). Raises InvalidStatisticsInput.
    """
    if not 0 <= successes <= people or not 0 < alpha < 1:
        raise InvalidStatisticsInput(
            f"need 0 <= successes <= people and 0 < alpha < 1, got {successes}, {people}, {alpha}", field="successes"
        )
    k, rest = float(successes), float(people - successes)
    even = float(betaln(1 + k, 1 + rest))

    def log_e(m: float) -> float:
        if people_at_best is not None:
            counts, shares = np.array([k, rest]), np.array([m, 1 - m])
            return float(log_dirichlet_factor(counts, shares, mixture_concentration(people_at_best, alpha)))
        return even - (k * math.log(m) if k else 0.0) - (rest * math.log1p(-m) if rest else 0.0)

    def bound(inside: float, outside: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            if not 0 < middle < 1:
                break
            inside, outside = (middle, outside) if log_e(middle) < math.log(1 / alpha) else (inside, middle)
        return (inside + outside) / 2

    best = k / people if people else 0.5
    return (0.0 if not k else bound(best, 0.0)), (1.0 if not rest else bound(best, 1.0))


def mixture_concentration(people_at_best: float, alpha: float) -> float:
    """c = a + b of the beta mixture that makes bounds on a rate narrowest at about `people_at_best` people:
    n* / (-2 ln alpha + ln(1 - 2 ln alpha)) - 1, at least a thousandth."""
    return max(1 / asymptotic_rho(people_at_best, alpha) ** 2 - 1, 1e-3)


def _check(values: FloatArray, alpha: float) -> None:
    if not values.size or not bool(np.all((values >= 0) & (values <= 1))):
        raise InvalidStatisticsInput("need at least one value, all of them in [0, 1]", field="values")
    if not 0 < alpha < 1:
        raise InvalidStatisticsInput(f"alpha must lie in (0, 1), got {alpha}", field="alpha")
