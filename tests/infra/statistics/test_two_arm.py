"""The block's e-variable against enumeration of all outcomes, a general-purpose minimiser and the printed formula."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from infra.statistics import log_block_factors, nearest_null_rate

RATES = st.floats(0.01, 0.99)
PEOPLE = st.integers(1, 3)


def one(value: float) -> np.ndarray:
    return np.array([value])


def factor(in_a: list[bool], outcomes: list[float], rate_a: float, rate_b: float, margin: float = 0.0) -> float:
    block = np.zeros(len(outcomes), dtype=np.int64)
    logs = log_block_factors(np.array(in_a), np.array(outcomes), block, one(rate_a), one(rate_b), margin)
    return float(np.exp(logs[0]))


def expected_factor(n_a: int, n_b: int, bet: tuple[float, float], truth: tuple[float, float], margin: float) -> float:
    """Mean over every outcome of the block when the true rates are `truth`."""
    in_a = [True] * n_a + [False] * n_b
    total = 0.0
    for outcomes in product([0.0, 1.0], repeat=n_a + n_b):
        chances = [
            (truth[0] if a else truth[1]) if y else 1 - (truth[0] if a else truth[1])
            for a, y in zip(in_a, outcomes, strict=True)
        ]
        total += float(np.prod(chances)) * factor(in_a, list(outcomes), *bet, margin)
    return total


def test_a_block_by_hand() -> None:
    # One person an arm, bets .3 and .1, null .2: like in a and none in b gives (.3/.2) (.9/.8) = 1.6875.
    assert factor([True, False], [1.0, 0.0], 0.3, 0.1) == pytest.approx(1.6875)
    assert factor([True, False], [0.0, 1.0], 0.3, 0.1) == pytest.approx((0.7 / 0.8) * (0.1 / 0.2))


def test_the_null_rate_of_margin_zero_is_the_mean_weighted_by_people() -> None:
    assert nearest_null_rate(one(0.3), one(0.1), one(1.0), one(3.0), 0.0)[0] == pytest.approx(0.15)


@given(RATES, RATES, PEOPLE, PEOPLE, st.floats(-0.5, 0.5).filter(lambda m: abs(m) > 1e-3))
@settings(max_examples=60, deadline=None)
def test_the_null_rate_is_the_nearest(rate_a: float, rate_b: float, n_a: int, n_b: int, margin: float) -> None:
    def divergence(x: float) -> float:
        def kl(p: float, q: float) -> float:
            return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))

        return n_a * kl(rate_a, x) + n_b * kl(rate_b, x - margin)

    low, high = max(0.0, margin) + 1e-9, min(1.0, 1 + margin) - 1e-9
    oracle = minimize_scalar(divergence, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    found = nearest_null_rate(one(rate_a), one(rate_b), one(float(n_a)), one(float(n_b)), margin)[0]
    assert divergence(found) <= oracle.fun + 1e-7


@given(PEOPLE, PEOPLE, RATES, RATES, st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, -0.05, -0.3, 0.1]))
@settings(max_examples=150, deadline=None)
def test_the_mean_is_at_most_one_everywhere_in_the_null(
    n_a: int, n_b: int, bet_a: float, bet_b: float, true_b: float, below: float, margin: float
) -> None:
    """Any bet, any truth with p_a <= p_b + margin, exactly: every outcome is enumerated."""
    true_a = below * min(1.0, max(0.0, true_b + margin))
    if true_b + margin < 0:
        return  # the null is empty there
    assert expected_factor(n_a, n_b, (bet_a, bet_b), (true_a, true_b), margin) <= 1 + 1e-9


def test_the_mean_is_above_one_where_the_bet_is_right() -> None:
    assert expected_factor(3, 3, (0.5, 0.2), (0.5, 0.2), 0.0) > 1.1
    assert expected_factor(3, 3, (0.4, 0.4), (0.4, 0.4), -0.3) > 1.1


def test_a_bet_on_the_wrong_side_is_not_made() -> None:
    """The plain two-arm factor rewards harm: predicted .05 against .10 it would grow on average when that is true."""
    assert factor([True, False], [1.0, 0.0], 0.05, 0.10) == 1.0
    assert factor([True, False], [0.0, 1.0], 0.05, 0.10) == 1.0


def test_bounded_values_have_the_same_guarantee() -> None:
    """Values 0, 1/2, 1 with probabilities that give both arms the mean .3."""
    points, chances = [0.0, 0.5, 1.0], [0.5, 0.4, 0.1]
    mean = sum(
        pa * pb * factor([True, False], [a, b], 0.6, 0.2)
        for a, pa in zip(points, chances, strict=True)
        for b, pb in zip(points, chances, strict=True)
    )
    assert mean <= 1 + 1e-12


def test_a_block_of_one_arm_does_not_count() -> None:
    assert factor([True, True], [1.0, 1.0], 0.9, 0.1) == 1.0


def test_no_outcome_ruins_the_wealth() -> None:
    assert factor([True, False], [0.0, 1.0], 1.0, 0.0) > 0
