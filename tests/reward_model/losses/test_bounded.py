"""Robust losses of the margin alone: golden values by hand, and the claims their docstrings make."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.losses import (
    NoiseParameters,
    bt,
    gce,
    huber_of_loss,
    modified_huber,
    ropo,
    sigmoid,
    truncated_hinge,
)
from tests.reward_model.losses.cases import at, slope

LN3 = math.log(3.0)
CLEAN = NoiseParameters()


@pytest.mark.parametrize(
    ("function", "z", "noise", "expected"),
    [
        (sigmoid, LN3, CLEAN, 0.25),
        (sigmoid, -LN3, CLEAN, 0.75),
        # s = 1/4, q = 1/2: (1 - 1/2) / (1/2)
        (gce, -LN3, NoiseParameters(exponent=0.5), 1.0),
        (gce, -LN3, NoiseParameters(exponent=1.0), 0.75),
        # a = 1: -log s + s(-z)
        (ropo, LN3, NoiseParameters(ropo_alpha=1.0), math.log(4 / 3) + 0.25),
        # a = 3: 12/16 and 36/16
        (ropo, -LN3, NoiseParameters(ropo_alpha=3.0), 0.75 * math.log(4) + 2.25 * 0.75),
        # l = ln 4 > 1: 1 * (l - 1/2)
        (huber_of_loss, -LN3, NoiseParameters(huber_delta=1.0), math.log(4) - 0.5),
        # l = ln 4 <= 2: l^2 / 2
        (huber_of_loss, -LN3, NoiseParameters(huber_delta=2.0), math.log(4) ** 2 / 2),
        # l = ln 4 > .5: .5 (l - .25)
        (huber_of_loss, -LN3, NoiseParameters(huber_delta=0.5), 0.5 * (math.log(4) - 0.25)),
        (modified_huber, 2.0, CLEAN, 0.0),
        (modified_huber, 0.5, CLEAN, 0.25),
        (modified_huber, -1.0, CLEAN, 4.0),
        (modified_huber, -3.0, CLEAN, 12.0),
        (truncated_hinge, 2.0, CLEAN, 0.0),
        (truncated_hinge, 0.25, CLEAN, 0.75),
        (truncated_hinge, -0.5, CLEAN, 1.5),
        (truncated_hinge, -7.0, CLEAN, 1.5),
    ],
)
def test_golden_values(function, z, noise, expected) -> None:  # type: ignore[no-untyped-def]
    assert float(function(at(z), noise)) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(z=st.floats(-50, 50))
def test_the_symmetric_loss_of_both_orders_is_one(z: float) -> None:
    assert float(sigmoid(at(z), CLEAN) + sigmoid(at(-z), CLEAN)) == pytest.approx(1.0, abs=1e-12)


def test_generalised_cross_entropy_goes_from_bradley_terry_to_the_symmetric_loss() -> None:
    z = torch.linspace(-6.0, 6.0, 25, dtype=torch.float64)
    assert torch.allclose(gce(z, NoiseParameters(exponent=1e-7)), bt(z, CLEAN), atol=1e-5)
    assert torch.allclose(gce(z, NoiseParameters(exponent=1.0)), sigmoid(z, CLEAN), atol=1e-12)


@pytest.mark.parametrize("a", [1.5, 3.0, 14.0])
def test_ropo_pulls_hardest_where_its_paper_says_and_with_force_one(a: float) -> None:
    u = (1 + a) / (2 * a)
    noise = NoiseParameters(ropo_alpha=a)
    assert slope("ropo", math.log((1 - u) / u), noise) == pytest.approx(-1.0, abs=1e-12)


def test_huber_of_the_loss_still_pulls_at_hopeless_records() -> None:
    """Why the literal reading of "robust" is not the default: its force on a hopeless record never fades."""
    assert slope("huber_of_loss", -50.0, NoiseParameters(huber_delta=0.7)) == pytest.approx(-0.7)
    assert abs(slope("phuber", -50.0, NoiseParameters(threshold=4.0))) < 1e-12
