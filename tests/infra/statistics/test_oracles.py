"""Numbers of other libraries for the same data, frozen where the library cannot share the environment.

`gbstats` 0.8.0, `confseq` 0.0.11, `ville` 0.1.0, `tea-tasting` 1.14.0. Others stand beside what they check: `obp` in
test_off_policy, `ssrm-test` in test_sample_ratio, the one-sided mixtures of `confseq` in test_asymptotic, its
gamma-exponential one in test_off_policy_intervals.
"""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import lambertw

from infra.statistics import (
    asymptotic_margin,
    asymptotic_rho,
    clustered_mean,
    fixed_sample_size,
    linearised,
    mean_confidence_sequence,
)

X = np.tile([1.0, 0, 0, 1, 0, 1, 1, 1, 0, 1], 50)


def test_confseq_normal_mixture_bound() -> None:
    """normal_mixture_bound(100, .05, 100, .05, False) = 30.35208990376253, a bound on a sum of variance 100."""
    margin = float(asymptotic_margin(1.0, 100.0, asymptotic_rho(100, 0.05), 0.05))
    assert 100 * margin == pytest.approx(30.35208990376253)


def _level(distance: float, deviation: float, people: float, rho: float) -> float:
    """The level at which the two-sided sequence ends at this distance: its p-value, the e-value turned over."""
    return float(optimize.brentq(lambda a: asymptotic_margin(deviation, people, rho, a) - distance, 1e-12, 1 - 1e-12))


def test_confseq_normal_log_mixture() -> None:
    """normal_log_mixture(30, 100, 100, .05, False) = 2.901375010405018."""
    assert -np.log(_level(0.3, 1.0, 100.0, asymptotic_rho(100, 0.05))) == pytest.approx(2.901375010405018)


def test_gbstats_sequential_p_values_and_relative_effect() -> None:
    """SequentialTwoSidedTTest of 500 in 5,000 against 580 in 5,000; N* = 5,000 and 10,000, and relative."""
    a, b, n = 0.1, 0.116, 5000
    variances = a * (1 - a) / n, b * (1 - b) / n
    deviation = np.sqrt(sum(variances) * 2 * n)
    for tuning, expected in ((5000, 0.1801303542467047), (10_000, 0.1561559235929522)):
        assert _level(b - a, deviation, 2 * n, asymptotic_rho(tuning, 0.05)) == pytest.approx(expected, rel=1e-8)
    relative = np.sqrt((variances[1] / a**2 + variances[0] * b**2 / a**4) * 2 * n)
    rho = asymptotic_rho(10_000, 0.05)
    margin = float(asymptotic_margin(relative, 2.0 * n, rho, 0.05))
    assert (0.16 - margin, 0.16 + margin) == pytest.approx((-0.04299535817677477, 0.36299535817677475))
    assert _level(0.16, relative, 2 * n, rho) == pytest.approx(0.23542677045871493, rel=1e-8)


def test_ville_asymptotic_sequence() -> None:
    """AsymptoticCS(t_opt=500) after the 500 values of X, mean .6: 0.5334372034725403 to 0.6665627965274596.

    ville tunes by the exact optimum (Lambert W) and divides the variance by n - 1; ours is within a thousandth.
    """
    square = 0.05**2
    exact = np.sqrt((-lambertw(-square * np.exp(square - 1), -1).real - 1) / 500)
    margin = float(asymptotic_margin(X.std(ddof=1), 500.0, float(exact), 0.05))
    assert margin == pytest.approx(0.0665627965274596, rel=1e-8)
    assert mean_confidence_sequence(X, 500).high[-1] - 0.6 == pytest.approx(margin, rel=1e-3)


def _with_moments(means: tuple[float, ...], covariance: np.ndarray, n: int = 1000) -> np.ndarray:
    """(n, columns) values with exactly these means and this covariance (n - 1 in the denominator)."""
    raw = np.random.default_rng(0).normal(size=(n, len(means)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    return np.asarray(white @ np.linalg.cholesky(covariance).T + means)


@pytest.mark.parametrize(
    ("total", "squares", "products", "mean", "variance"),
    [(3000, 14000, 18000, 0.6, 0.12812812812812813), (3300, 15500, 19000, 0.66, 0.13965965965965965)],
)
def test_gbstats_ratio_by_linearisation(
    total: float, squares: float, products: float, mean: float, variance: float
) -> None:
    """RatioStatistic(n=1000, m=SampleMean(total, squares), d=SampleMean(5000, 30000), sum of products)."""
    n = 1000

    def moment(of_products: float, a: float, b: float) -> float:
        return (of_products - a * b / n) / (n - 1)

    cross = moment(products, total, 5000)
    covariance = np.array([[moment(squares, total, total), cross], [cross, moment(30000, 5000, 5000)]])
    numerator, denominator = _with_moments((total / n, 5.0), covariance).T
    values = linearised(numerator, denominator)
    found = clustered_mean(values, np.arange(n))
    assert found.mean == pytest.approx(mean)
    assert found.standard_error**2 * n == pytest.approx(variance, rel=1e-9)
    assert values.var(ddof=1) == pytest.approx(variance, rel=1e-9)


def test_gbstats_difference_of_ratios() -> None:
    """TwoSidedTTest of the two above: .06, ci [.02790723541580281, .0920927645841973], p .00025229382718960913."""
    _two_sample(
        (0.6, np.sqrt(0.12812812812812813 / 1000), 1000),
        (0.66, np.sqrt(0.13965965965965965 / 1000), 1000),
        (0.06, 0.02790723541580281, 0.0920927645841973, 0.00025229382718960913),
    )


def test_gbstats_regression_adjusted() -> None:
    """RegressionAdjustedStatistic(n=1000, both SampleMean(5000, 29000), sum of products 27400, theta=.6)."""
    n, spread, shared = 1000, (29_000 - 25_000) / 999, (27_400 - 25_000) / 999
    after, before = _with_moments((5.0, 5.0), np.array([[spread, shared], [shared, spread]])).T
    found = clustered_mean(after - 0.6 * before, np.arange(n))
    assert found.mean == pytest.approx(2.0)
    assert found.standard_error**2 * n == pytest.approx(2.5625625625625634, rel=1e-9)


Arm = tuple[float, float, int]
"""Mean, standard error, people."""


def _two_sample(control: Arm, treated: Arm, expected: tuple[float, float, float, float]) -> None:
    """Difference, 95 % interval and p-value of Welch's test from each arm's mean and standard error."""
    variances = control[1] ** 2, treated[1] ** 2
    error, difference = np.sqrt(sum(variances)), treated[0] - control[0]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / (control[2] - 1) + variances[1] ** 2 / (treated[2] - 1))
    half = stats.t.ppf(0.975, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    assert (difference, difference - half, difference + half, p) == pytest.approx(expected, rel=1e-5)


USERS = {
    2023: ((1073, 1090, 4038, 4031), (2073, 1691, 2648, 2692, 2720, 2715, 3701, 10_098, 9932, 13_779)),
    1977: ((1133, 1006, 3920, 3941), (2121, 1551, 2730, 2721, 2380, 2407, 3324, 9698, 9738, 13_579)),
}
"""make_users_data(rng=42, covariates=True, n_users=4000): people of control and treatment, sums of orders, the orders
before, sessions, the sessions before, and sums of their products, row by row of the upper triangle."""


def _users() -> list[np.ndarray]:
    """(people, 4) of each arm, with these very moments."""
    arms = []
    for n, (sums, products) in USERS.items():
        means, raw = np.array(sums) / n, np.zeros((4, 4))
        raw[np.triu_indices(4)] = products
        raw = np.triu(raw) + np.triu(raw, 1).T
        arms.append(_with_moments(tuple(means), (raw - n * np.outer(means, means)) / (n - 1), n))
    return arms


def _adjusted(values: list[np.ndarray], before: list[np.ndarray], y: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """CUPED with one slope for both arms, from `y` and `x` of everybody."""
    slope = np.cov(y, x)[0, 1] / x.var(ddof=1)
    return [value - slope * (past - x.mean()) for value, past in zip(values, before, strict=True)]


def _linearised(arms: list[np.ndarray], top: int, under: int) -> list[np.ndarray]:
    return [linearised(arm[:, top], arm[:, under]) for arm in arms]


def _arms(values: list[np.ndarray]) -> tuple[Arm, Arm]:
    found = [clustered_mean(arm, np.arange(len(arm))) for arm in values]
    return tuple((each.mean, each.standard_error, each.clusters) for each in found)  # type: ignore[return-value]


def test_tea_tasting_means_and_ratios() -> None:
    arms = _users()
    _two_sample(*_arms([arm[:, 0] for arm in arms]), (0.04269015, -0.0108002, 0.09618049, 0.11773178))
    _two_sample(*_arms(_linearised(arms, 0, 2)), (0.02330501, -0.00245943, 0.04906944, 0.0762376))


def test_tea_tasting_adjusted_means_and_power() -> None:
    """Least effect found with power 80 % at the two-sided level of 5 % among 4,000: .0609."""
    arms = _users()
    y, x = np.concatenate(arms)[:, :2].T
    adjusted = _adjusted([arm[:, 0] for arm in arms], [arm[:, 1] for arm in arms], y, x)
    _two_sample(*_arms(adjusted), (0.05830389, 0.01569651, 0.10091128, 0.00733041))
    variance = float(np.concatenate(adjusted).var(ddof=1))
    assert fixed_sample_size(variance, 0.0609, alpha=0.025) == pytest.approx(4000, rel=2e-3)


def test_tea_tasting_adjusted_ratios() -> None:
    arms = _users()
    whole = [np.concatenate(arms)]
    (y,), (x,) = _linearised(whole, 0, 2), _linearised(whole, 1, 3)
    adjusted = _adjusted(_linearised(arms, 0, 2), _linearised(arms, 1, 3), y, x)
    _two_sample(*_arms(adjusted), (0.03173426, 0.01134448, 0.05212405, 0.00229294))
