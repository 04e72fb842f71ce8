"""The table of gradient limits against the gradients themselves."""

import pytest
import torch

from reward_model.losses import InvalidLoss, NoiseParameters, auxiliary_of, gradient_limits, pair_loss
from tests.reward_model.losses.cases import ALL, SETTINGS, slope


@pytest.mark.parametrize("name", [name for name in ALL if name != "vrpo"])
@pytest.mark.parametrize("fields", SETTINGS)
def test_limits_and_bound(name: str, fields: dict[str, float]) -> None:
    noise = NoiseParameters(**fields)
    stated = gradient_limits(name, noise)
    assert slope(name, -200.0, noise) == pytest.approx(stated.hopeless, abs=1e-9)
    assert slope(name, 200.0, noise) == pytest.approx(stated.certain, abs=1e-9)
    z = torch.linspace(-60.0, 60.0, 60_001, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(pair_loss(name)(z, noise).sum(), z)
    assert gradient.abs().max() <= stated.bound + 1e-9
    if stated.tight:
        assert float(gradient.abs().max()) == pytest.approx(stated.bound, rel=1e-3)


@pytest.mark.parametrize("g", [0.0, 0.3, 1.0])
def test_limits_of_variance_reduction(g: float) -> None:
    """A recorded and a reference pair at one margin: the auxiliary cancels."""
    noise = NoiseParameters(auxiliary=auxiliary_of(torch.tensor([g]), torch.tensor([g])))
    stated, found = gradient_limits("vrpo", noise), []
    for margin in (-200.0, -1.0, 0.0, 1.0, 200.0):
        z = torch.full((2,), margin, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(pair_loss("vrpo")(z, noise).mean(), z)
        found.append(float(gradient.sum()))
    assert (found[0], found[-1]) == (pytest.approx(stated.hopeless), pytest.approx(stated.certain, abs=1e-9))
    assert max(map(abs, found)) == pytest.approx(stated.bound)


def test_an_unknown_loss_and_a_rate_per_row_are_refused() -> None:
    with pytest.raises(InvalidLoss, match="no loss is called"):
        gradient_limits("huberr", NoiseParameters())
    with pytest.raises(InvalidLoss, match="one is needed"):
        gradient_limits("rdpo", NoiseParameters(torch.tensor([0.1, 0.2])))
