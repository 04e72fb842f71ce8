"""How many people an experiment takes, before it begins.

The logarithm of a bettor's wealth at the effect it is designed for moves about as a Brownian motion with drift g and
variance 2 g a person, g = effect^2 / (2 s^2), s^2 the variance of one score (Wald, Sequential Analysis, 1947; Siegmund,
Sequential Analysis, 1985, eq. 3.15). So the people until it has gained b nats follow an inverse Gaussian law:

    P(reached within n) = Phi((g n - b) / sqrt(2 g n)) + exp(b) Phi(-(g n + b) / sqrt(2 g n))
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from infra.statistics.two_arm import FloatArray, InvalidStatisticsInput


def fixed_sample_size(
    variance: float,
    effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    correlation: float = 0.0,
    share: float = 0.5,
) -> float:
    """Counted people, both arms together, of the one-sided fixed-sample test of a difference of means.

    N = (z_(1 - alpha) + z_power)^2 variance (1 - correlation^2) / (share (1 - share)) / effect^2. `variance`: of one
    person's value within an arm; `effect`: absolute; `correlation`: of the value with a covariate from before exposure;
    `share`: of the challenger among counted people. The sequential tests here stop after about .9 N on average where N
    is that of the effect they are designed for, and after at most 2 N in nine cases of ten.
    """
    if variance < 0 or effect == 0 or not 0 < share < 1 or not -1 < correlation < 1:
        raise InvalidStatisticsInput(
            f"need variance >= 0, an effect, 0 < share < 1, |correlation| < 1; got {variance}, {effect}, {share}, "
            f"{correlation}",
            field="effect",
        )
    if not 0 < alpha < 0.5 or not 0.5 <= power < 1:
        raise InvalidStatisticsInput(f"need 0 < alpha < 1/2 <= power < 1, got {alpha}, {power}", field="alpha")
    quantiles = float(ndtri(1 - alpha) + ndtri(power))
    return quantiles**2 * variance * (1 - correlation**2) / (share * (1 - share)) / effect**2


def evidence_rate(variance: float, effect: float, *, correlation: float = 0.0, share: float = 0.5) -> float:
    """g above: nats that one counted person adds on average, when the effect is what the test is designed for.

    effect^2 share (1 - share) / (2 variance (1 - correlation^2)); arguments as in `fixed_sample_size`, of which this is
    (z_(1 - alpha) + z_power)^2 / 2 divided by N.
    """
    quantiles = float(ndtri(0.95) + ndtri(0.8))
    return quantiles**2 / 2 / fixed_sample_size(variance, effect, correlation=correlation, share=share)


def chance_to_reach(boundary: float, people: float, rate: float, *, wealth: float = 1.0) -> float:
    """Probability that the bettor who began with a share `wealth` in (0, 1] of it all alone brings the e-value to
    `boundary` (nats) within `people` counted people, `rate` nats each (`evidence_rate`)."""
    if not rate > 0 or not 0 < wealth <= 1 or people < 0:
        raise InvalidStatisticsInput(
            f"need rate > 0, 0 < wealth <= 1, people >= 0; got {rate}, {wealth}, {people}", field="rate"
        )
    needed, drift = boundary - float(np.log(wealth)), rate * people
    if needed <= 0 or people == 0:
        return float(needed <= 0)
    spread = np.sqrt(2 * drift)
    return float(ndtr((drift - needed) / spread) + np.exp(needed + log_ndtr(-(drift + needed) / spread)))


def people_to_reach(boundary: float, rate: float, *, power: float = 0.8, wealth: float = 1.0) -> float:
    """Counted people within which the boundary is reached with probability `power`; arguments as `chance_to_reach`."""
    if not 0 < power < 1:
        raise InvalidStatisticsInput(f"need 0 < power < 1, got {power}", field="power")
    if chance_to_reach(boundary, 0, rate, wealth=wealth) >= power:
        return 0.0
    high = 1.0 / rate
    while chance_to_reach(boundary, high, rate, wealth=wealth) < power:
        high *= 2
    return float(brentq(lambda n: chance_to_reach(boundary, n, rate, wealth=wealth) - power, 0.0, high))


def linearised(values: FloatArray, denominators: FloatArray) -> FloatArray:
    """One number a person whose mean is the ratio R of the means and whose variance is that of the ratio times n:
    R + (values - R denominators) / mean of the denominators (delta method: Deng, Knoblich, Lu, KDD 2018)."""
    size = float(denominators.mean())
    if not size > 0:
        raise InvalidStatisticsInput("the mean of the denominators must be positive", field="denominators")
    ratio = float(values.mean()) / size
    return np.asarray(ratio + (values - ratio * denominators) / size)
