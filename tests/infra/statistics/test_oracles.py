"""Numbers of other libraries for the same data, frozen where the library cannot share the environment.

`gbstats` 0.8.0, `confseq` 0.0.11, `ville` 0.1.0, `tea-tasting` 1.14.0. Others stand beside what they check; all of them
are listed in docs/benchmarks/experiments-oracles.md.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from infra.statistics import (
    asymptotic_margin,
    asymptotic_rho,
    augmented_scores,
    clustered_mean,
    fixed_sample_size,
    linearised,
    mean_confidence_sequence,
)
from tests.oracles.freeze_ville import people

PAGE = Path(__file__).parents[3] / "docs" / "benchmarks" / "experiments-oracles.md"
X = np.tile([1.0, 0, 0, 1, 0, 1, 1, 1, 0, 1], 50)


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE.read_text())
    assert len(named) > 30
    for file, test in named:
        found = (PAGE.parents[2] / "tests").rglob(file)
        assert any(f"def {test}(" in path.read_text() for path in found), (file, test)


def test_confseq_normal_mixture_bound() -> None:
    """normal_mixture_bound(100, .05, 100, .05, False) = 30.35208990376253, a bound on a sum of variance 100."""
    margin = float(asymptotic_margin(1.0, 100.0, asymptotic_rho(100, 0.05), 0.05))
    assert 100 * margin == pytest.approx(30.35208990376253, rel=1e-14)


def _level(distance: float, deviation: float, people: float, rho: float) -> float:
    """The level at which the two-sided sequence ends at this distance: its p-value, the e-value turned over."""

    def excess(level: float) -> float:
        return float(asymptotic_margin(deviation, people, rho, level)) - distance

    return float(optimize.brentq(excess, 1e-12, 1 - 1e-12, xtol=1e-15))


def test_confseq_normal_log_mixture() -> None:
    """normal_log_mixture(30, 100, 100, .05, False) = 2.901375010405018."""
    assert -np.log(_level(0.3, 1.0, 100.0, asymptotic_rho(100, 0.05))) == pytest.approx(2.901375010405018, rel=1e-12)


def test_gbstats_sequential_p_values_and_relative_effect() -> None:
    """SequentialTwoSidedTTest of 500 in 5,000 against 580 in 5,000; N* = 5,000 and 10,000, and relative."""
    a, b, n = 0.1, 0.116, 5000
    variances = a * (1 - a) / n, b * (1 - b) / n
    deviation = np.sqrt(sum(variances) * 2 * n)
    for tuning, expected in ((5000, 0.1801303542467047), (10_000, 0.1561559235929522)):
        assert _level(b - a, deviation, 2 * n, asymptotic_rho(tuning, 0.05)) == pytest.approx(expected, rel=1e-12)
    relative = np.sqrt((variances[1] / a**2 + variances[0] * b**2 / a**4) * 2 * n)
    rho = asymptotic_rho(10_000, 0.05)
    margin = float(asymptotic_margin(relative, 2.0 * n, rho, 0.05))
    assert (0.16 - margin, 0.16 + margin) == pytest.approx((-0.04299535817677477, 0.36299535817677475), rel=1e-12)
    assert _level(0.16, relative, 2 * n, rho) == pytest.approx(0.23542677045871493, rel=1e-12)


def _found_rho(people: float) -> float:
    """The tuning at 5 % as ville finds it, by a minimiser; `asymptotic_rho` is the usual approximation."""
    middle = np.log(people)

    def width(log_precision: float) -> float:
        return float(asymptotic_margin(1.0, people, np.exp(-log_precision / 2), 0.05))

    found = optimize.minimize_scalar(width, bounds=(middle - 15, middle + 15), method="bounded")
    return float(np.exp(-found.x / 2))


def test_ville_asymptotic_sequence() -> None:
    """AsymptoticCS(t_opt=500) after the 500 values of X, mean .6: 0.5334372034725403 to 0.6665627965274596.

    ville tunes by a minimiser and divides the variance by n - 1; ours is within a thousandth.
    """
    margin = float(asymptotic_margin(X.std(ddof=1), 500.0, _found_rho(500), 0.05))
    assert (0.6 - margin, 0.6 + margin) == pytest.approx((0.5334372034725403, 0.6665627965274596), rel=1e-12)
    assert mean_confidence_sequence(X, 500).high[-1] - 0.6 == pytest.approx(margin, rel=1e-3)


def test_ville_mixture_sprt() -> None:
    """MSPRT(theta0=.5, sigma=.5, tau=.1) of X: ratio 2985.577, p 3.34944e-4 at the end, least p on the way 3.2235e-4.

    The same process as the asymptotic sequence with tuning tau / sigma and the deviation told."""
    levels = [_level(abs(X[:n].mean() - 0.5), 0.5, float(n), 0.2) for n in range(400, 501)]
    assert 1 / levels[-1] == pytest.approx(2985.5769939351576, rel=1e-9)
    assert levels[-1] == pytest.approx(3.34944e-4, abs=5e-10)
    assert min(levels) == pytest.approx(3.2234871714603713e-4, rel=1e-9)


def test_ville_effect_of_a_coin() -> None:
    """AsymptoticABTest(t_opt=10000), what `freeze_ville` prints; its first centre is 0, ours 1/2."""
    arm, values = people()
    scores = augmented_scores(arm, values, np.full(len(values), 0.5))
    scores[0] = values[0] * (2.0 if arm[0] else -2.0)
    n, expected = len(values), (0.019664008267009793, 0.05919318099456213)
    margin = float(asymptotic_margin(scores.std(ddof=1), float(n), _found_rho(10_000), 0.05))
    assert (scores.mean() - margin, scores.mean() + margin) == pytest.approx(expected, rel=1e-9)


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
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.standard_error**2 * n == pytest.approx(variance, rel=1e-12)
    assert values.var(ddof=1) == pytest.approx(variance, rel=1e-12)


def test_gbstats_difference_of_ratios() -> None:
    """TwoSidedTTest of the two above: .06, ci [.02790723541580281, .0920927645841973], p .00025229382718960913."""
    _two_sample(
        (0.6, np.sqrt(0.12812812812812813 / 1000), 1000),
        (0.66, np.sqrt(0.13965965965965965 / 1000), 1000),
        (0.06, 0.02790723541580281, 0.0920927645841973, 0.00025229382718960913),
        rel=1e-11,
    )


def test_gbstats_fixed_sample_test() -> None:
    """TwoSidedTTest, absolute, of 500 in 5,000 against 580 in 5,000: .016, ci [.0038358746739675864,
    .028164125326002414], p .009941891392559743. Its variance of a share divides by n, ours by n - 1."""
    arms = []
    for liked in (500, 580):
        values = np.zeros(5000)
        values[:liked] = 1.0
        found = clustered_mean(values, np.arange(5000))
        arms.append((found.mean, found.standard_error * np.sqrt(4999 / 5000), found.clusters))
    expected = (0.016, 0.0038358746739675864, 0.028164125326002414, 0.009941891392559743)
    _two_sample(arms[0], arms[1], expected, rel=1e-11)


def test_gbstats_regression_adjusted() -> None:
    """RegressionAdjustedStatistic(n=1000, both SampleMean(5000, 29000), sum of products 27400, theta=.6)."""
    n, spread, shared = 1000, (29_000 - 25_000) / 999, (27_400 - 25_000) / 999
    after, before = _with_moments((5.0, 5.0), np.array([[spread, shared], [shared, spread]])).T
    found = clustered_mean(after - 0.6 * before, np.arange(n))
    assert found.mean == pytest.approx(2.0, rel=1e-12)
    assert found.standard_error**2 * n == pytest.approx(2.5625625625625634, rel=1e-12)


Arm = tuple[float, float, int]
"""Mean, standard error, people."""


def _two_sample(
    control: Arm, treated: Arm, expected: tuple[float, float, float, float], *, rel: float = 0.0, within: float = 0.0
) -> None:
    """Difference, 95 % interval and p-value of Welch's test from each arm's mean and standard error; `rel`,
    `within`: how near, relatively and absolutely, they have to come."""
    variances = control[1] ** 2, treated[1] ** 2
    error, difference = np.sqrt(sum(variances)), treated[0] - control[0]
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / (control[2] - 1) + variances[1] ** 2 / (treated[2] - 1))
    half = stats.t.ppf(0.975, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    assert (difference, difference - half, difference + half, p) == pytest.approx(expected, rel=rel, abs=within)


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
    _two_sample(*_arms([arm[:, 0] for arm in arms]), (0.04269015, -0.0108002, 0.09618049, 0.11773178), within=6e-9)
    _two_sample(*_arms(_linearised(arms, 0, 2)), (0.02330501, -0.00245943, 0.04906944, 0.0762376), within=6e-9)


def test_tea_tasting_adjusted_means_and_power() -> None:
    """Least effect found with power 80 % at the two-sided level of 5 % among 4,000: .0609."""
    arms = _users()
    y, x = np.concatenate(arms)[:, :2].T
    adjusted = _adjusted([arm[:, 0] for arm in arms], [arm[:, 1] for arm in arms], y, x)
    _two_sample(*_arms(adjusted), (0.05830389, 0.01569651, 0.10091128, 0.00733041), within=6e-9)
    variance = float(np.concatenate(adjusted).var(ddof=1))
    assert fixed_sample_size(variance, 0.0609, alpha=0.025) == pytest.approx(4000, rel=2e-3)


def test_tea_tasting_adjusted_ratios() -> None:
    arms = _users()
    whole = [np.concatenate(arms)]
    (y,), (x,) = _linearised(whole, 0, 2), _linearised(whole, 1, 3)
    adjusted = _adjusted(_linearised(arms, 0, 2), _linearised(arms, 1, 3), y, x)
    _two_sample(*_arms(adjusted), (0.03173426, 0.01134448, 0.05212405, 0.00229294), within=6e-9)
