"""The usual methods against the libraries people take them from, and by hand."""

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.experiments_rivals import CASES, figures, measure
from tests.benchmarks.usual_methods import chi_square_p, group_sequential_boundaries, poly_stitching_bound

EQUAL = np.array([0.5, 0.5])
LOOKS = (0.25, 0.5, 0.75, 1.0)


def test_gbstats_and_tea_tasting_sample_ratio() -> None:
    """gbstats.check_srm of [5000, 5200] and [821588, 815482]; tea-tasting SampleRatio of 2023 and 1977 people."""
    counts = np.array([[5000.0, 5200.0], [821_588.0, 815_482.0]])
    assert chi_square_p(counts, EQUAL) == pytest.approx([0.0476703806561615, 1.8217928726191858e-06], rel=1e-12)
    assert float(chi_square_p(np.array([2023.0, 1977.0]), EQUAL, 0.5)) == pytest.approx(0.47676672, abs=5e-9)
    assert float(chi_square_p(np.array([3.0, 3.0]), EQUAL, 0.5)) == 1.0


def test_confseq_poly_stitching() -> None:
    """poly_stitching_bound(100, .05, 1) = 37.91564240369386; flat before the least variance."""
    assert float(poly_stitching_bound(100.0, 0.05, 1.0)) == pytest.approx(37.91564240369386, rel=1e-14)
    assert float(poly_stitching_bound(3.0, 0.05, 10.0)) == float(poly_stitching_bound(10.0, 0.05, 10.0))


def test_spotify_group_sequential_boundaries() -> None:
    """spotify_confidence's bounds(LOOKS, alpha=.05, rho=2, sides=2), half of alpha a side. Its trapezoids, 20 to a
    standard deviation, cost it the fifth digit; the chance to leave by each look says whose is right."""
    found = group_sequential_boundaries(LOOKS, 0.025)
    assert found == pytest.approx([2.955167, 2.559321, 2.300814, 2.091913], abs=6e-5)
    assert found[0] == pytest.approx(2.955167, abs=5e-7)
    times = np.array(LOOKS)
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    inside = stats.multivariate_normal(np.zeros(3), correlation[:3, :3], seed=0).cdf(np.array(found[:3]))
    assert 1 - inside == pytest.approx(0.025 * 0.75**2, abs=2e-6)


def test_one_look_is_the_fixed_sample_test() -> None:
    assert group_sequential_boundaries([1.0]) == pytest.approx([1.6448536269514722], rel=1e-12)


def test_rivals_on_a_few_histories() -> None:
    speed = measure(CASES[0], 40)
    assert {name.split(",")[0] for name in speed} == {"group sequential", "two-sample mixture", "stitched", "betting"}
    assert all(0.2 < each["mean"] <= 2 and each["power"] > 0 for each in speed.values())
    assert speed["betting"]["mean"] < speed["stitched"]["mean"]
    assert speed["group sequential, 4 looks, by 1.1 N"]["mean"] < 1.1


def test_figures_by_hand() -> None:
    """N = 10, ends at 2 N: 10 and never, twice; one false winner of two."""
    found = figures(np.array([10.0, np.inf, np.inf]), np.array([5.0, np.inf]), 10.0, 2.0)
    assert found["mean"] == pytest.approx((1 + 2 + 2) / 3)
    assert found["power"] == pytest.approx(1 / 3)
    assert found["false"] == 0.5


def test_ratios_by_both_tests() -> None:
    ratio = measure(CASES[1], 250)
    assert ratio["chi-square at .01"]["alarms"] > ratio["sequential at .01"]["alarms"]
