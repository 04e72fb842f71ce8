"""Several arms: who is called best, and allocation by top-two Thompson sampling."""

import math

import numpy as np
import pytest

from infra.statistics import (
    BettingDesign,
    InvalidStatisticsInput,
    betting_e_process,
    decide_best_arm,
    pairwise_log_e,
    probability_best,
    top_two_allocation,
)

DESIGN = BettingDesign(0.3)


def test_two_arms_are_the_two_arm_test() -> None:
    draw = np.random.default_rng(0)
    arm = (draw.random(300) < 0.4).astype(np.int64)
    values = (draw.random(300) < np.where(arm, 0.5, 0.3)).astype(float)
    found = pairwise_log_e(arm, values, np.tile([0.6, 0.4], (300, 1)), DESIGN)
    assert np.allclose(found[1, 0], betting_e_process(arm == 1, values, 0.4, DESIGN).log_e[1:])


def test_the_best_is_found_under_an_allocation_that_follows_the_data() -> None:
    """Rates .1, .2, .4; every 200 people the probabilities follow the posterior, and are logged."""
    draw, rates = np.random.default_rng(1), np.array([0.1, 0.2, 0.4])
    shares, arms, values, logged = np.full(3, 1 / 3), [], [], []
    for _ in range(10):
        arms.append(draw.choice(3, 200, p=shares))
        values.append((draw.random(200) < rates[arms[-1]]).astype(float))
        logged.append(np.tile(shares, (200, 1)))
        arm, value = np.concatenate(arms), np.concatenate(values)
        n = np.array([(arm == k).sum() for k in range(3)])
        means = np.array([value[arm == k].mean() for k in range(3)])
        shares = top_two_allocation(means.tolist(), np.sqrt(0.25 / n).tolist(), floor=0.1)
    paths = pairwise_log_e(arm, value, np.concatenate(logged), DESIGN)
    found = decide_best_arm({pair: float(path[-1]) for pair, path in paths.items()}, 3, 0.05)
    assert found.best == 2
    assert found.superior == (1, 2)
    assert found.threshold == pytest.approx(math.log(40))
    assert n[2] > n[0]


def test_equal_arms_are_seldom_called_best() -> None:
    draw, wrong = np.random.default_rng(2), 0
    for _ in range(60):
        arm = draw.integers(0, 3, 500)
        values = (draw.random(500) < 0.3).astype(float)
        paths = pairwise_log_e(arm, values, np.full((500, 3), 1 / 3), DESIGN)
        found = decide_best_arm({pair: float(path.max()) for pair, path in paths.items()}, 3, 0.05)
        wrong += bool(found.superior or found.best is not None)
    assert wrong <= 8


def test_the_control_can_be_best() -> None:
    pairs = {(j, k): (5.0 if j == 0 else -1.0) for j in range(3) for k in range(3) if j != k}
    assert decide_best_arm(pairs, 3, 0.05).best == 0
    assert decide_best_arm(pairs, 3, 0.05).superior == ()


def test_probability_best_against_known_values() -> None:
    """Two arms: Phi(gap / sqrt(s1^2 + s2^2)); three equal ones: a third each."""
    found = probability_best(np.array([0.1, 0.2]), np.array([0.03, 0.04]))
    assert found[1] == pytest.approx(0.5 * (1 + math.erf(0.1 / 0.05 / math.sqrt(2))), abs=1e-6)
    assert probability_best(np.zeros(3), np.full(3, 0.2)) == pytest.approx([1 / 3] * 3)


def test_top_two_by_hand() -> None:
    """P = (.5, .5): each arm leads half of the time and is challenged by the other."""
    assert top_two_allocation([0.0, 0.0], [1.0, 1.0]) == pytest.approx([0.5, 0.5])
    certain = top_two_allocation([0.0, 1.0, 0.5], [0.01] * 3, floor=0.05)
    assert certain.sum() == pytest.approx(1)
    assert certain[0] == pytest.approx(0.05, abs=1e-3)
    assert certain[1] == pytest.approx(0.05 + 0.85 * 0.5, abs=1e-3)


def test_what_cannot_be_allocated_is_refused() -> None:
    with pytest.raises(InvalidStatisticsInput):
        top_two_allocation([0.0, 1.0], [0.0, 1.0])
    with pytest.raises(InvalidStatisticsInput):
        decide_best_arm({}, 1, 0.05)
