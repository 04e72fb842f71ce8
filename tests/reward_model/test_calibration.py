"""Platt's sigmoid: recovers what made the labels, and stays finite where it cannot."""

import numpy as np
import pytest

from reward_model.calibration import Platt, fit_platt, sigmoid


def test_recovers_slope_and_offset() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    targets = (rng.random(20_000) < sigmoid(0.5 * logits - 1.0)).astype(float)
    found = fit_platt(logits, targets, np.ones(20_000))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.offset == pytest.approx(-1.0, abs=0.05)


def test_soft_targets_are_probabilities() -> None:
    logits = np.linspace(-3, 3, 500)
    found = fit_platt(logits, sigmoid(2.0 * logits + 0.5), np.ones(500))
    assert (found.slope, found.offset) == (pytest.approx(2.0, abs=0.1), pytest.approx(0.5, abs=0.05))


def test_separable_labels_stay_finite() -> None:
    found = fit_platt(np.array([-1.0, -0.5, 0.5, 1.0]), np.array([0.0, 0, 1, 1]), np.ones(4))
    assert 0 < found.slope < 20


def test_a_ranking_is_never_turned_round() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=500)
    found = fit_platt(logits, (logits < 0).astype(float), np.ones(500))
    assert found.slope == 0.0
    assert found.apply(logits) == pytest.approx(0.5, abs=0.06)


def test_weights_count_as_copies() -> None:
    logits, targets = np.array([-1.0, 0.3, 2.0, -0.2]), np.array([0.0, 1.0, 1.0, 1.0])
    twice = fit_platt(np.tile(logits, 2), np.tile(targets, 2), np.ones(8))
    weighted = fit_platt(logits, targets, np.full(4, 2.0))
    assert (weighted.slope, weighted.offset) == (
        pytest.approx(twice.slope, abs=1e-4),
        pytest.approx(twice.offset, abs=1e-4),
    )


def test_apply_by_hand() -> None:
    assert Platt(2.0, 1.0).apply(np.array([-0.5, 0.0])) == pytest.approx([0.5, 1 / (1 + np.exp(-1.0))])


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0.0, 1.0]
