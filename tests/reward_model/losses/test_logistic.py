"""Bradley-Terry, its smoothing and its unbiased correction: by hand, and what sets them apart."""

import math

import pytest
import torch

from reward_model.losses import NoiseParameters, bt, label_smoothed, rdpo, soft_bce
from tests.reward_model.losses.cases import at

CLEAN = NoiseParameters()
LN3 = math.log(3.0)
"""s(ln 3) = 3/4, s(-ln 3) = 1/4: golden values are arithmetic on these."""


@pytest.mark.parametrize(
    ("function", "z", "noise", "expected"),
    [
        (bt, 0.0, CLEAN, math.log(2)),
        (bt, LN3, CLEAN, math.log(4 / 3)),
        (bt, -LN3, CLEAN, math.log(4)),
        (label_smoothed, LN3, NoiseParameters(0.25), -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
        (rdpo, LN3, NoiseParameters(0.25), (-0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 0.5),
    ],
)
def test_golden_values(function, z, noise, expected) -> None:  # type: ignore[no-untyped-def]
    assert float(function(at(z), noise)) == pytest.approx(expected, abs=1e-12)


def test_rdpo_is_unbiased_for_the_clean_loss() -> None:
    """E over flips of rdpo(z) = bt(z): (1 - e) rdpo(z) + e rdpo(-z)."""
    z, e = torch.linspace(-5.0, 5.0, 21, dtype=torch.float64), 0.3
    mean = (1 - e) * rdpo(z, NoiseParameters(e)) + e * rdpo(-z, NoiseParameters(e))
    assert torch.allclose(mean, bt(z, CLEAN), atol=1e-12)


def test_rdpo_falls_without_bound_and_smoothing_has_a_least_value() -> None:
    noise = NoiseParameters(0.1)
    assert float(rdpo(at(1000.0), noise)) < -100
    best = at(math.log(9.0))  # s = .9
    for z in (at(math.log(9.0) - 0.1), at(math.log(9.0) + 0.1)):
        assert float(label_smoothed(z, noise)) > float(label_smoothed(best, noise))


def test_soft_targets() -> None:
    assert float(soft_bce(at(LN3), at(0.5))) == pytest.approx(-0.5 * (math.log(0.75) + math.log(0.25)))
