"""How many people an experiment takes, before it begins."""

from scipy.special import ndtri

from infra.statistics.two_arm import InvalidStatisticsInput


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
