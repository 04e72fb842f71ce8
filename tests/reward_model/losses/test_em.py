"""RE-PO's two steps: by hand, and against what expectation-maximisation promises."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.losses import InvalidLoss, NoiseParameters, e_step, forward_corrected, m_step, repo_em
from tests.reward_model.losses.cases import at, slope

LN3 = math.log(3.0)


def test_e_step_by_hand() -> None:
    """h = .8, s = 1/4: .8/4 / (.8/4 + .2 * 3/4) = .2 / .35."""
    assert float(e_step(at(-LN3), 0.8)) == pytest.approx(0.2 / 0.35, abs=1e-12)
    certain = e_step(torch.tensor([-5.0, 5.0, -5.0, 5.0]).double(), torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert certain.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_m_step_by_hand() -> None:
    """Source 0: (1 * 1 + 3 * .5) / 4; source 1: .2; source 2 has no record: the prior's mean."""
    w, sources = torch.tensor([1.0, 0.5, 0.2]).double(), torch.tensor([0, 0, 1])
    v = torch.tensor([1.0, 3.0, 2.0]).double()
    assert m_step(w, sources, v, 3, prior_mean=0.7).tolist() == pytest.approx([2.5 / 4, 0.2, 0.7])
    shrunk = m_step(w, sources, v, 3, prior_mean=0.7, prior_strength=2.0)
    assert shrunk.tolist() == pytest.approx([(2.5 + 1.4) / 6, (0.4 + 1.4) / 4, 0.7])


def test_the_prior_is_validated() -> None:
    one = torch.ones(1)
    with pytest.raises(InvalidLoss, match="prior_strength"):
        m_step(one, torch.zeros(1, dtype=torch.int64), one, 1, prior_strength=-1.0)
    with pytest.raises(InvalidLoss, match="reliability"):
        m_step(one, torch.zeros(1, dtype=torch.int64), one, 1, prior_mean=1.5)


def test_the_loss_by_hand() -> None:
    noise = NoiseParameters(posterior=at(0.6))
    assert float(repo_em(at(LN3), noise)) == pytest.approx(-0.6 * math.log(0.75) - 0.4 * math.log(0.25), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(z=st.floats(-30, 30), e=st.floats(0.001, 0.49))
def test_at_its_own_posterior_it_pulls_as_the_likelihood_does(z: float, e: float) -> None:
    """Fisher's identity, and the free energy's value and slope are those of -log p."""
    w = e_step(at(z), 1.0 - e)
    fixed = slope("repo_em", z, NoiseParameters(posterior=w))
    assert fixed == pytest.approx(slope("forward_corrected", z, NoiseParameters(e)), abs=1e-10)
    free = NoiseParameters(e)
    assert float(repo_em(at(z), free)) == pytest.approx(float(forward_corrected(at(z), free)), abs=1e-10)
    assert slope("repo_em", z, free) == pytest.approx(fixed, abs=1e-10)


def test_the_free_energy_is_the_loss_plus_the_divergence() -> None:
    """w l(z) + (1 - w) l(-z) + KL(w || h), the terms written out."""
    z, h = at(-0.8), 0.85
    w = float(e_step(z, h))
    divergence = w * math.log(w / h) + (1 - w) * math.log((1 - w) / (1 - h))
    surrogate = float(repo_em(z, NoiseParameters(posterior=at(w))))
    assert float(repo_em(z, NoiseParameters(reliability=h))) == pytest.approx(surrogate + divergence, abs=1e-12)


def test_a_source_that_lies_is_turned_round() -> None:
    """Reliability below one half: the loss rewards the contrary of the record."""
    assert slope("repo_em", 0.5, NoiseParameters(reliability=0.1)) > 0.0


def test_rounds_raise_the_likelihood_and_find_the_liars() -> None:
    """Fixed margins, three sources that hold 95, 70 and 15 % of the time."""
    rng = torch.Generator().manual_seed(0)
    truth = torch.tensor([0.95, 0.7, 0.15]).double()
    sources = torch.arange(9000) % 3
    z = 2.0 * torch.randn(9000, generator=rng).double()
    wins = torch.rand(9000, generator=rng).double() < torch.sigmoid(z)
    holds = torch.rand(9000, generator=rng).double() < truth[sources]
    z = torch.where(wins == holds, z, -z)
    h, likelihoods = torch.full((3,), 0.8).double(), []
    for _ in range(40):
        likelihoods.append(-float(repo_em(z, NoiseParameters(reliability=h[sources])).mean()))
        h = m_step(e_step(z, h[sources]), sources, torch.ones(9000).double(), 3)
    assert all(b >= a - 1e-12 for a, b in pairwise(likelihoods))
    assert h.tolist() == pytest.approx(truth.tolist(), abs=0.04)
