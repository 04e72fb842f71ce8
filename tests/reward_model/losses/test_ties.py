"""Rao and Kupper: the three outcomes make one, by hand and for soft records."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.losses import NoiseParameters, bt, fit_tie_ratio, rao_kupper, rao_kupper_tie
from reward_model.losses.ties import rao_kupper_graded
from tests.reward_model.losses.cases import at

TWO = NoiseParameters(tie_ratio=2.0)


def test_by_hand() -> None:
    """Strengths 3 and 1, theta 2: first wins 3/(3 + 2), second 1/(1 + 6), a tie is the rest."""
    z = at(math.log(3.0))
    assert math.exp(-float(rao_kupper(z, TWO))) == pytest.approx(3 / 5)
    assert math.exp(-float(rao_kupper(-z, TWO))) == pytest.approx(1 / 7)
    assert math.exp(-float(rao_kupper_tie(z, TWO))) == pytest.approx(1 - 3 / 5 - 1 / 7)


@settings(deadline=None, max_examples=60)
@given(z=st.floats(-15, 15), theta=st.floats(1.001, 50))
def test_win_loss_and_tie_are_all_there_is(z: float, theta: float) -> None:
    noise = NoiseParameters(tie_ratio=theta)
    losses = (rao_kupper(at(z), noise), rao_kupper(at(-z), noise), rao_kupper_tie(at(z), noise))
    assert sum(math.exp(-float(loss)) for loss in losses) == pytest.approx(1.0, abs=1e-9)
    assert float(rao_kupper_tie(at(z), noise)) == pytest.approx(float(rao_kupper_tie(at(-z), noise)))


def test_hardly_any_ties_is_bradley_terry() -> None:
    z = torch.linspace(-6, 6, 13, dtype=torch.float64)
    assert torch.allclose(rao_kupper(z, NoiseParameters(tie_ratio=1 + 1e-9)), bt(z, TWO), atol=1e-8)


def test_the_ratio_of_equals_is_the_share_of_ties() -> None:
    """At margin 0 a tie has chance (theta - 1) / (theta + 1): a quarter tied gives 5/3."""
    z, weights = torch.zeros(4).double(), torch.tensor([1.0, 2.0, 0.0, 1.0]).double()
    tied = torch.tensor([True, False, True, False])
    assert fit_tie_ratio(z, tied, weights) == pytest.approx(5 / 3, abs=1e-5)
    assert fit_tie_ratio(z, torch.zeros(4, dtype=torch.bool), weights) == pytest.approx(1.0, abs=1e-4)


def test_the_ratio_of_a_simulated_population_is_found() -> None:
    rng = torch.Generator().manual_seed(0)
    z = 2.0 * torch.randn(20_000, generator=rng).double()
    draw = torch.rand(20_000, generator=rng).double()
    noise = NoiseParameters(tie_ratio=1.8)
    win, tie = (-rao_kupper(z, noise)).exp(), (-rao_kupper_tie(z, noise)).exp()
    recorded = torch.where(draw < win + tie, z, -z)
    tied = (draw >= win) & (draw < win + tie)
    assert fit_tie_ratio(recorded, tied, torch.ones(20_000).double()) == pytest.approx(1.8, abs=0.05)


def test_soft_records_go_from_a_loss_over_a_tie_to_a_win() -> None:
    z = torch.full((4,), 0.7, dtype=torch.float64)
    found = rao_kupper_graded(z, TWO, torch.tensor([1.0, 0.0, 0.5, 0.75], dtype=torch.float64))
    win, lost, tie = (float(x) for x in (rao_kupper(z[0], TWO), rao_kupper(-z[0], TWO), rao_kupper_tie(z[0], TWO)))
    assert found.tolist() == pytest.approx([win, lost, tie, (win + tie) / 2])
