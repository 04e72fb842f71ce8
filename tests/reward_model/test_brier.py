"""The parts of Brier's score add up, lose their bias, and are Ferro & Fricker's where theirs apply."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.brier import brier_parts, brier_skill


def test_by_hand() -> None:
    """Two bins of four: observed 1/4 and 3/4, predicted .2 and .8; base 1/2."""
    p = np.repeat([0.2, 0.8], 4)
    y = np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    found = brier_parts(y, p, np.ones(8), np.arange(8), bins=2)
    noise = 0.25 * 0.75 / 3
    assert found.brier == pytest.approx(0.5 * (0.64 + 3 * 0.04 + 0.64 + 3 * 0.04) / 4)
    assert found.reliability == pytest.approx(0.05**2 - noise)
    assert found.resolution == pytest.approx(0.25**2 - noise + 0.25 / 7)
    assert found.uncertainty == pytest.approx(0.25 + 0.25 / 7)
    assert found.within == pytest.approx(0.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_parts_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y, w = rng.random(60), rng.random(60), rng.uniform(0.1, 4, 60)
    found = brier_parts(y, p, w, rng.integers(0, 20, 60))
    total = found.reliability - found.resolution + found.uncertainty + found.within
    assert total == pytest.approx(found.brier)
    assert found.brier == pytest.approx(np.average((p - y) ** 2, weights=w))


def test_the_bias_goes() -> None:
    """Perfect forecasts of three values: reliability 0, resolution Var(p), in the mean over small samples."""
    rng = np.random.default_rng(0)
    values = np.array([0.1, 0.3, 0.7])
    parts = []
    for _ in range(2000):
        p = values[rng.integers(0, 3, 60)]
        y = (rng.random(60) < p).astype(float)
        found = brier_parts(y, p, np.ones(60), np.arange(60))
        parts.append((found.reliability, found.resolution, found.uncertainty))
    rel, res, unc = np.mean(parts, 0)
    assert rel == pytest.approx(0.0, abs=0.0006)
    assert res == pytest.approx(values.var(), abs=0.003)
    assert unc == pytest.approx(values.mean() * (1 - values.mean()), abs=0.003)


def test_skill_of_a_constant_is_nothing_and_of_the_truth_is_one() -> None:
    y = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    assert brier_skill(y, np.full(5, 0.4), np.ones(5)) == pytest.approx(0.0)
    assert brier_skill(y, y, np.ones(5)) == pytest.approx(1.0)
    assert brier_skill(y, np.full(5, 0.4), np.ones(5), base_rate=0.5) == pytest.approx(1 - 0.24 / 0.25)
    assert np.isnan(brier_skill(np.ones(3), np.full(3, 0.9), np.ones(3)))
