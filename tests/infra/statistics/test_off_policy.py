"""Off-policy estimators against the numbers of `obp` 0.4.1."""

import numpy as np
import pytest

from infra.statistics import doubly_robust, effective_sample_size, inverse_propensity, self_normalised

REWARDS = np.array([1.0, 0.0, 1.0, 0.0])
ACTIONS = np.array([0, 1, 0, 1])
NEW = np.array([0.7, 0.3])
PREDICTED = np.array([0.6, 0.2])
WEIGHTS = NEW[ACTIONS] / np.array([0.5, 0.5, 0.8, 0.2])


def test_golden_numbers() -> None:
    assert inverse_propensity(REWARDS, WEIGHTS).value == pytest.approx(0.56875)
    assert self_normalised(REWARDS, WEIGHTS).value == pytest.approx(0.52)
    found = doubly_robust(REWARDS, WEIGHTS, PREDICTED[ACTIONS], np.full(4, PREDICTED @ NEW))
    assert found.value == pytest.approx(0.6025)


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size(np.array([5.0, 0, 0])) == pytest.approx(1)
    assert effective_sample_size(np.zeros(3)) == 0.0
    assert inverse_propensity(REWARDS, WEIGHTS, clip=1.0).value == pytest.approx((1 + 0.875) / 4)
    assert np.isnan(self_normalised(REWARDS, np.zeros(4)).value)
