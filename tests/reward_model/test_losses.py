"""Pair losses: golden values by hand, gradients against finite differences, bounds and limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.losses import (
    LOSSES,
    InvalidLoss,
    NoiseParameters,
    bt,
    huber_bt,
    huber_bt_gradient_bound,
    label_smoothed,
    log_mixed_probability,
    pair_loss,
    rdpo,
    soft_bce,
)

CLEAN = NoiseParameters()


def at(z: float) -> torch.Tensor:
    return torch.tensor(z, dtype=torch.float64)


def slope(loss: str, z: float, noise: NoiseParameters) -> float:
    point = at(z).requires_grad_(True)
    (gradient,) = torch.autograd.grad(pair_loss(loss)(point, noise), point)
    return float(gradient)


LN3 = math.log(3.0)


@pytest.mark.parametrize(
    ("function", "z", "noise", "expected"),
    [
        # s(ln 3) = 3/4, s(-ln 3) = 1/4: everything below is arithmetic on these.
        (bt, 0.0, CLEAN, math.log(2)),
        (bt, LN3, CLEAN, math.log(4 / 3)),
        (bt, -LN3, CLEAN, math.log(4)),
        (label_smoothed, LN3, NoiseParameters(0.25), -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
        (rdpo, LN3, NoiseParameters(0.25), (-0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 0.5),
        # p = .9 * 3/4 + .1 * 1/4 = .7 > 1/2
        (huber_bt, LN3, NoiseParameters(0.1, 2.0), -math.log(0.7)),
        # p = .9 * 1/4 + .1 * 3/4 = .3 <= 1/2: -2 * .3 + ln 2 + 1
        (huber_bt, -LN3, NoiseParameters(0.1, 2.0), 0.4 + math.log(2)),
        # the same p is above 1/4: -ln .3
        (huber_bt, -LN3, NoiseParameters(0.1, 4.0), -math.log(0.3)),
        # e = 0, p = 1/4 <= 1/2: -2/4 + ln 2 + 1
        (huber_bt, -LN3, NoiseParameters(0.0, 2.0), 0.5 + math.log(2)),
    ],
)
def test_golden_values(function, z, noise, expected) -> None:  # type: ignore[no-untyped-def]
    assert float(function(at(z), noise)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("noise", [CLEAN, NoiseParameters(0.2, 2.0), NoiseParameters(0.05, 10.0)])
def test_gradients_agree_with_finite_differences(name: str, noise: NoiseParameters) -> None:
    z = torch.tensor([-9.0, -3.1, -0.7, 0.2, 1.9, 6.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pair_loss(name)(x, noise), (z,))


def test_huber_bt_without_noise_and_with_a_high_threshold_is_bradley_terry() -> None:
    z = torch.linspace(-8.0, 8.0, 33, dtype=torch.float64)
    assert torch.allclose(huber_bt(z, NoiseParameters(0.0, 1e9)), bt(z, CLEAN), atol=1e-12)


def test_rdpo_is_unbiased_for_the_clean_loss() -> None:
    """E over flips of rdpo(z) = bt(z): (1 - e) rdpo(z) + e rdpo(-z)."""
    z, e = torch.linspace(-5.0, 5.0, 21, dtype=torch.float64), 0.3
    mean = (1 - e) * rdpo(z, NoiseParameters(e)) + e * rdpo(-z, NoiseParameters(e))
    assert torch.allclose(mean, bt(z, CLEAN), atol=1e-12)


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


def test_extreme_margins_stay_finite() -> None:
    z = torch.tensor([-1e4, 1e4], dtype=torch.float64, requires_grad=True)
    for name in LOSSES:
        for noise in (CLEAN, NoiseParameters(0.2, 3.0)):
            total = pair_loss(name)(z, noise).sum()
            (gradient,) = torch.autograd.grad(total, z)
            assert torch.isfinite(total)
            assert torch.isfinite(gradient).all()


def test_mixed_probability_of_a_coin_is_a_coin() -> None:
    assert float(log_mixed_probability(at(0.0), 0.3)) == pytest.approx(math.log(0.5))


def test_soft_targets() -> None:
    assert float(soft_bce(at(LN3), at(0.5))) == pytest.approx(-0.5 * (math.log(0.75) + math.log(0.25)))


@pytest.mark.parametrize(
    ("e", "t", "field"), [(0.5, 2.0, "flip_rate"), (-0.1, 2.0, "flip_rate"), (0.1, 1.0, "threshold")]
)
def test_parameters_out_of_range_are_named(e: float, t: float, field: str) -> None:
    with pytest.raises(InvalidLoss, match=field) as caught:
        NoiseParameters(e, t)
    assert caught.value.field == field


def test_an_unknown_loss_names_the_known_ones() -> None:
    with pytest.raises(InvalidLoss, match=r"huberr.*bt, huber_bt"):
        pair_loss("huberr")
