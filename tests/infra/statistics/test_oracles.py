"""Numbers of other libraries for the same data, frozen where the library cannot share the environment.

`gbstats` 0.8.0, `confseq` 0.0.11, `ville` 0.1.0. Others stand beside what they check: `obp` in test_off_policy,
`ssrm-test` in test_sample_ratio, the one-sided mixtures of `confseq` in test_asymptotic.
"""

import numpy as np
import pytest
from scipy.special import lambertw

from infra.statistics import asymptotic_margin, asymptotic_rho, clustered_mean, mean_confidence_sequence

X = np.tile([1.0, 0, 0, 1, 0, 1, 1, 1, 0, 1], 50)


def test_confseq_normal_mixture_bound() -> None:
    """normal_mixture_bound(100, .05, 100, .05, False) = 30.35208990376253, a bound on a sum of variance 100."""
    margin = float(asymptotic_margin(1.0, 100.0, asymptotic_rho(100, 0.05), 0.05))
    assert 100 * margin == pytest.approx(30.35208990376253)


def test_ville_asymptotic_sequence() -> None:
    """AsymptoticCS(t_opt=500) after the 500 values of X, mean .6: 0.5334372034725403 to 0.6665627965274596.

    ville tunes by the exact optimum (Lambert W) and divides the variance by n - 1; ours is within a thousandth.
    """
    square = 0.05**2
    exact = np.sqrt((-lambertw(-square * np.exp(square - 1), -1).real - 1) / 500)
    margin = float(asymptotic_margin(X.std(ddof=1), 500.0, float(exact), 0.05))
    assert margin == pytest.approx(0.0665627965274596, rel=1e-8)
    assert mean_confidence_sequence(X, 500).high[-1] - 0.6 == pytest.approx(margin, rel=1e-3)


def _with_moments(means: tuple[float, float], covariance: np.ndarray, n: int = 1000) -> np.ndarray:
    """(n, 2) values with exactly these means and this covariance (n - 1 in the denominator)."""
    raw = np.random.default_rng(0).normal(size=(n, 2))
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
    ratio = numerator.mean() / denominator.mean()
    found = clustered_mean((numerator - ratio * denominator) / denominator.mean(), np.arange(n))
    assert ratio == pytest.approx(mean)
    assert found.standard_error**2 * n == pytest.approx(variance, rel=1e-9)
