"""Predicted against realised: r with Fisher's interval, signs with honest ones, and what a gate may make of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reward_model.offline_online import (
    Correlation,
    OfflineOnline,
    Point,
    Rate,
    correlation,
    offline_online,
    predicted_rate,
    realised_rate,
    recalibrated_by_the_past,
    signs_between,
    signs_of,
    trust_of,
)


def past(count: int, *, seed: int = 0, noise: float = 0.004, slope: float = 1.0, control: bool = True) -> list[Point]:
    """`count` candidates of spread quality; the control was always predicted and realised at .2."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        x = rng.normal(0.22, 0.03)
        y = 0.2 + slope * (x - 0.2) + rng.normal(0, noise)
        base = Rate(0.2, 0.002)
        extra = {"control_predicted": base, "control_realised": base} if control else {}
        found.append(Point(f"a@{i}", Rate(x, 0.002), Rate(y, 0.003), **extra))
    return found


def test_fisher_s_interval_of_the_published_figure() -> None:
    """r = .95 over 10 candidates: [.80, .99]."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=10)
    e = rng.normal(size=10)
    e -= e.mean() + np.polyfit(x, e, 1)[0] * (x - x.mean())
    y = (x - x.mean()) / x.std() * 0.95 + e / e.std() * np.sqrt(1 - 0.95**2)
    found = correlation(x, y, np.zeros(10), np.zeros(10))
    assert found is not None
    assert found.r == pytest.approx(0.95)
    assert (round(found.low, 2), round(found.high, 2)) == (0.80, 0.99)
    assert found.corrected == pytest.approx(0.95)
    oracle = stats.pearsonr(x, y).confidence_interval()
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))


def test_the_correction_gives_back_what_errors_took() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 1, 4000)
    x, y = truth + rng.normal(0, 0.7, 4000), truth + rng.normal(0, 0.5, 4000)
    found = correlation(x, y, np.full(4000, 0.7), np.full(4000, 0.5))
    assert found is not None
    assert found.r == pytest.approx(1 / np.sqrt(1.49 * 1.25), abs=0.02)
    assert found.corrected == pytest.approx(1.0, abs=0.02)


def test_errors_larger_than_the_spread_correct_nothing() -> None:
    found = correlation(np.arange(5.0), np.array([0.0, 2, 1, 3, 4]), np.full(5, 9.0), np.zeros(5))
    assert found is not None
    assert found.corrected is None


def test_constants_and_three_points_have_no_correlation() -> None:
    assert correlation(np.ones(6), np.arange(6.0), np.zeros(6), np.zeros(6)) is None
    assert correlation(np.arange(3.0), np.arange(3.0), np.zeros(3), np.zeros(3)) is None


def test_signs_by_hand() -> None:
    """Order 1 2 3 4 predicted, 1 2 4 3 realised: 5 of 6 pairs; two independent ones."""
    found = signs_between(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3]), np.full(4, 1e-9))
    assert found.accuracy == pytest.approx(5 / 6)
    assert (found.comparisons, found.independent) == (6, 2)
    assert found.ceiling == pytest.approx(1.0)
    assert found.low < 0.5 < found.high
    own = signs_of(np.array([0.1, -0.2, 0.0]), np.array([0.3, 0.1, 0.2]), np.full(3, 0.1))
    assert own.accuracy == pytest.approx(0.5)
    assert own.ceiling == pytest.approx(np.mean(stats.norm.cdf([3.0, 1.0, 2.0])))


def test_the_interval_of_signs_holds_the_truth() -> None:
    """Two normals of correlation .8: P(signs agree) = 1/2 + asin(.8) / pi."""
    truth, held = 0.5 + np.arcsin(0.8) / np.pi, 0
    for seed in range(300):
        x, y = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 14).T
        found = signs_between(x, y, np.zeros(14))
        held += found.low <= truth <= found.high
    assert held >= 285


def test_good_predictions_earn_the_gate_sizes() -> None:
    found = offline_online(past(14))
    assert found.levels is not None
    assert found.line is not None
    assert found.levels.r > 0.95
    assert found.line.slope_low < 1.0 < found.line.slope_high
    assert found.trust.level == "size"
    assert found.trust.number == pytest.approx(found.levels.low**2)
    assert found.to_control is not None
    assert found.to_control.accuracy > 0.8
    expected = found.expected(Rate(0.25, 0.002))
    assert expected is not None
    assert expected[1] < 0.25 < expected[2]
    assert found.seen_before(0.22)
    assert not found.seen_before(0.9)


def test_a_wrong_slope_earns_the_direction_only() -> None:
    found = offline_online(past(14, slope=0.4, noise=0.0005))
    assert found.trust.level == "direction"
    assert "by how much is not" in found.trust.meaning


def test_the_past_corrects_a_slope_that_is_always_wrong() -> None:
    """Realised = .05 + 1.5 predicted, exactly: from the sixth point on a prediction becomes what was realised."""
    exact = [
        Point(f"a@{i}", Rate(x, 0.001), Rate(0.05 + 1.5 * x, 0.002)) for i, x in enumerate(np.linspace(0.1, 0.2, 12))
    ]
    corrected = recalibrated_by_the_past(exact)
    assert [point.candidate for point in corrected] == [f"a@{i}" for i in range(5, 12)]
    for point in corrected:
        assert point.predicted.value == pytest.approx(point.realised.value)
        assert point.predicted.error == pytest.approx(0.0015)
    report = offline_online(past(24, slope=1.5))
    assert report.line is not None
    assert report.recalibrated is not None
    assert report.line.slope > 1.3
    assert report.recalibrated.slope == pytest.approx(1.0, abs=0.2)
    assert report.trust.level == "direction"  # what was predicted is what is judged


def test_no_later_candidate_enters_a_correction() -> None:
    points = past(12, slope=1.4)
    assert recalibrated_by_the_past(points[:9]) == recalibrated_by_the_past(points)[:4]
    assert recalibrated_by_the_past(points[:5]) == ()
    flat = [replace(point, predicted=Rate(0.2, 0.001)) for point in points]
    assert [point.predicted.value for point in recalibrated_by_the_past(flat)] == [0.2] * 7
    assert offline_online(points[:9]).recalibrated is None


def test_unrelated_predictions_earn_nothing() -> None:
    found = offline_online(past(12, slope=0.0, noise=0.03, seed=3))
    assert (found.trust.level, found.trust.number) == ("none", 0.0)


def test_four_candidates_prove_nothing() -> None:
    found = offline_online(past(4))
    assert (found.trust.level, found.levels, found.line, found.between) == ("unproven", None, None, None)
    assert found.expected(Rate(0.2, 0.0)) is None
    assert not found.seen_before(0.2)
    assert offline_online([]).document()["trust"]["level"] == "unproven"


def test_a_report_that_cannot_rank_is_unproven() -> None:
    one = [Point(f"a@{i}", Rate(0.2, 0.01), Rate(0.2 + 0.01 * i, 0.01)) for i in range(6)]
    assert offline_online(one).trust.level == "unproven"


def test_awful_candidates_do_not_flatter() -> None:
    """Nothing but noise among the good ones, and two awful ones that anybody would have foreseen."""
    good = past(12, slope=0.0, noise=0.02, seed=3)
    base = Rate(0.2, 0.002)
    bad = [Point(f"bad@{i}", Rate(0.02, 0.002), Rate(0.03, 0.003), base, base) for i in range(2)]
    found, flattered = offline_online(good + bad), offline_online(good + bad, awful=0.0)
    assert found.left_out == ("bad@0", "bad@1")
    assert found.levels is not None
    assert flattered.levels is not None
    assert flattered.levels.low > 0.4
    assert found.levels.low < 0.0
    assert (flattered.trust.level, found.trust.level) == ("direction", "none")


def test_differences_to_the_control_survive_a_drifting_world() -> None:
    """Every experiment in another season: rates wander by far more than candidates differ, differences do not."""
    rng = np.random.default_rng(0)
    points = []
    for i, point in enumerate(past(14)):
        season = rng.normal(0, 0.1)
        assert point.control_realised is not None
        points.append(
            Point(
                f"a@{i}",
                point.predicted,
                Rate(point.realised.value + season + 0.4, 0.003),
                point.control_predicted,
                Rate(point.control_realised.value + season + 0.4, 0.003),
            )
        )
    found = offline_online(points, awful=0.0)
    assert found.levels is not None
    assert found.differences is not None
    assert abs(found.levels.r) < 0.8
    assert found.differences.r > 0.95


def test_without_controls_there_are_levels_alone() -> None:
    found = offline_online(past(10, control=False))
    assert found.levels is not None
    assert (found.differences, found.to_control, found.left_out) == (None, None, ())


def test_documents_are_json() -> None:
    text = json.dumps(offline_online(past(10)).document(), allow_nan=False)
    assert json.loads(text)["trust"]["level"] in ("direction", "size")


def test_trust_thresholds_by_hand() -> None:
    line = offline_online(past(14)).line
    assert line is not None
    assert trust_of(Correlation(0.95, 0.80, 0.99, None, 10), line).level == "size"
    assert trust_of(Correlation(0.95, 0.79, 0.99, None, 10), line).level == "direction"
    assert trust_of(Correlation(0.5, -0.1, 0.8, None, 10), line).number == 0.0
    assert trust_of(Correlation(0.95, 0.80, 0.99, None, 10), None).level == "unproven"


def test_predicted_rate_by_hand() -> None:
    """Two prompts with answers .1 .3 and .6 .6: rate .4, error sqrt(.02 / 2) / 2."""
    found = predicted_rate(np.array([0.1, 0.3, 0.6, 0.6]), np.array([0, 0, 1, 1]))
    assert found.value == pytest.approx(0.4)
    assert found.error == pytest.approx(np.sqrt(0.01) / 2)
    single = predicted_rate(np.array([0.2, 0.6]), np.array([0, 1]))
    assert single.error == pytest.approx(np.sqrt(2 * 0.08) / 2)


def test_realised_rate_by_hand() -> None:
    """People 0 (1, 0) and 1 (1): rate 2/3, person sums -1/3 and 1/3, error sqrt(2 x 2/9) / 3."""
    found = realised_rate(np.array([1.0, 0.0, 1.0]), np.ones(3), np.array([0, 0, 1]))
    assert found.value == pytest.approx(2 / 3)
    assert found.error == pytest.approx(np.sqrt(2 * 2 / 9) / 3)
    assert realised_rate(np.array([1.0, 0.0]), np.ones(2), np.zeros(2, np.int64)).error == float("inf")


def test_a_report_is_a_value() -> None:
    assert isinstance(offline_online(past(6)), OfflineOnline)
