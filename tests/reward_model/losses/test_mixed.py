"""Losses on the mixed probability: golden values by hand, bounds, continuity and limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.losses import (
    NoiseParameters,
    bt,
    forward_corrected,
    huber_bt,
    huber_bt_gradient_bound,
    log_mixed_probability,
    phuber,
)
from tests.reward_model.losses.cases import at, slope

CLEAN = NoiseParameters()
LN3 = math.log(3.0)


@pytest.mark.parametrize(
    ("function", "z", "noise", "expected"),
    [
        # s(ln 3) = 3/4: p = .9 * 3/4 + .1 * 1/4 = .7 > 1/2
        (huber_bt, LN3, NoiseParameters(0.1, 2.0), -math.log(0.7)),
        # p = .9 * 1/4 + .1 * 3/4 = .3 <= 1/2: -2 * .3 + ln 2 + 1
        (huber_bt, -LN3, NoiseParameters(0.1, 2.0), 0.4 + math.log(2)),
        # the same p is above 1/4: -ln .3
        (huber_bt, -LN3, NoiseParameters(0.1, 4.0), -math.log(0.3)),
        # e = 0, p = 1/4 <= 1/2: -2/4 + ln 2 + 1
        (huber_bt, -LN3, NoiseParameters(0.0, 2.0), 0.5 + math.log(2)),
        (forward_corrected, -LN3, NoiseParameters(0.1), -math.log(0.3)),
        (forward_corrected, LN3, NoiseParameters(0.1), -math.log(0.7)),
        # without mixing, whatever the flip rate
        (phuber, -LN3, NoiseParameters(0.3, 2.0), 0.5 + math.log(2)),
        (phuber, LN3, NoiseParameters(0.3, 2.0), -math.log(0.75)),
    ],
)
def test_golden_values(function, z, noise, expected) -> None:  # type: ignore[no-untyped-def]
    assert float(function(at(z), noise)) == pytest.approx(expected, abs=1e-12)


def test_mixed_probability_of_a_coin_is_a_coin() -> None:
    assert float(log_mixed_probability(at(0.0), 0.3)) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("function", [huber_bt, forward_corrected])
def test_one_flip_rate_a_row_is_each_row_with_its_own(function) -> None:  # type: ignore[no-untyped-def]
    z = torch.tensor([-2.0, -2.0, 1.0, 40.0], dtype=torch.float64, requires_grad=True)
    rates = torch.tensor([0.0, 0.3, 0.1, 0.0], dtype=torch.float64)
    found = function(z, NoiseParameters(rates, 3.0))
    alone = [float(function(z[i].detach(), NoiseParameters(float(rates[i]), 3.0))) for i in range(4)]
    assert found.tolist() == pytest.approx(alone, abs=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), z)
    assert torch.isfinite(gradient).all()


def test_without_noise_and_with_a_high_threshold_it_is_bradley_terry() -> None:
    z = torch.linspace(-8.0, 8.0, 33, dtype=torch.float64)
    assert torch.allclose(huber_bt(z, NoiseParameters(0.0, 1e9)), bt(z, CLEAN), atol=1e-12)
    assert torch.allclose(huber_bt(z, NoiseParameters(0.2, 1e9)), forward_corrected(z, NoiseParameters(0.2)))
    assert torch.allclose(huber_bt(z, NoiseParameters(0.0, 3.0)), phuber(z, NoiseParameters(0.4, 3.0)))


@settings(deadline=None, max_examples=60)
@given(z=st.floats(-60, 60), e=st.floats(0.0, 0.45), t=st.floats(1.01, 1e6))
def test_huber_bt_is_bounded_and_never_pushes_the_wrong_way(z: float, e: float, t: float) -> None:
    noise = NoiseParameters(e, t)
    value = float(huber_bt(at(z), noise))
    assert 0.0 <= value <= math.log(t) + 1.0 + 1e-9
    gradient = slope("huber_bt", z, noise)
    assert -huber_bt_gradient_bound(e) - 1e-9 <= gradient <= 1e-12


def test_the_gradient_bound_is_reached() -> None:
    """The bound is tight: with a high threshold the steepest point of e = .1 comes within a thousandth of it."""
    steepest = min(slope("huber_bt", z / 50, NoiseParameters(0.1, 1e6)) for z in range(-400, 400))
    assert -steepest == pytest.approx(huber_bt_gradient_bound(0.1), rel=1e-3)
    assert huber_bt_gradient_bound(0.1) == pytest.approx((1 - 2 * 0.3) / 0.8)


@pytest.mark.parametrize("e", [0.0, 0.1])
def test_huber_bt_lets_go_of_what_it_cannot_explain(e: float) -> None:
    """Bradley-Terry pulls at a hopeless pair with full force, the partial form not at all."""
    assert slope("bt", -30.0, CLEAN) == pytest.approx(-1.0)
    assert abs(slope("huber_bt", -30.0, NoiseParameters(e, 4.0))) < 1e-9


@settings(deadline=None, max_examples=60)
@given(e=st.floats(0.0, 0.4), t=st.floats(1.5, 50))
def test_huber_bt_is_continuous_with_its_slope_at_the_threshold(e: float, t: float) -> None:
    if not e < 1 / t < 1 - e:
        return  # the linear part is empty or everything
    s = (1 / t - e) / (1 - 2 * e)
    z = math.log(s / (1 - s))
    noise = NoiseParameters(e, t)
    below, above = float(huber_bt(at(z - 1e-7), noise)), float(huber_bt(at(z + 1e-7), noise))
    assert below == pytest.approx(above, abs=1e-5)
    assert slope("huber_bt", z - 1e-7, noise) == pytest.approx(slope("huber_bt", z + 1e-7, noise), abs=1e-5)
