"""VRPO: by hand, unbiased whatever the auxiliary says, and less variable the better it knows."""

import math

import pytest
import torch

from reward_model.losses import Auxiliary, InvalidLoss, NoiseParameters, auxiliary_of, bt, vrpo

LN3 = math.log(3.0)


def known(g: list[float], observed: list[bool]) -> NoiseParameters:
    return NoiseParameters(auxiliary=Auxiliary(torch.tensor(g).double(), torch.tensor(observed)))


def test_by_hand() -> None:
    """Two recorded pairs, one reference pair: 3/2 and 3. s(ln 3) = 3/4, l(z) - l(-z) = -z."""
    z = torch.tensor([LN3, -LN3, LN3], dtype=torch.float64)
    found = vrpo(z, known([0.25, 1.0, 0.5], [True, True, False]))
    expected = [-1.5 * 0.75 * LN3, 0.0, 3 * (-0.5 * math.log(0.75) - 0.5 * math.log(0.25))]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_the_brackets_cancel_when_reference_pairs_are_the_recorded_ones() -> None:
    """The same pairs on both sides: nothing is left but Bradley-Terry."""
    z = torch.tensor([0.3, -1.2, 2.0]).double()
    g = [0.2, 0.7, 0.9]
    both = vrpo(torch.cat([z, z]), NoiseParameters(auxiliary=auxiliary_of(torch.tensor(g), torch.tensor(g)))).mean()
    assert float(both) == pytest.approx(float(bt(z, NoiseParameters()).mean()), abs=1e-7)


def _spread(informed: bool) -> tuple[float, float]:
    """Mean and standard deviation, over 400 samples of 20 records, of the loss at one fixed parameter; its clean mean
    is that of 200,000 records."""
    rng = torch.Generator().manual_seed(1)
    sums = []
    for _ in range(400):
        z = 1.5 * torch.randn(20 + 400, generator=rng).double()
        chance = torch.sigmoid(z)
        swap = torch.rand(420, generator=rng).double() >= chance
        swap[20:] = False
        z = torch.where(swap, -z, z)
        g = torch.sigmoid(z) if informed else torch.full_like(z, 0.3)
        g = torch.where(swap & torch.tensor(not informed), 1.0 - g, g)
        observed = torch.arange(420) < 20
        noise = NoiseParameters(auxiliary=Auxiliary(g, observed))
        sums.append(vrpo(0.5 * z, noise).mean())
    found = torch.stack(sums)
    return float(found.mean()), float(found.std())


def test_unbiased_whatever_the_auxiliary_and_steadier_when_it_knows() -> None:
    rng = torch.Generator().manual_seed(2)
    z = 1.5 * torch.randn(200_000, generator=rng).double()
    z = torch.where(torch.rand(200_000, generator=rng).double() < torch.sigmoid(z), z, -z)
    clean = float(bt(0.5 * z, NoiseParameters()).mean())
    plain = float(bt(0.5 * z[:8000].reshape(400, 20), NoiseParameters()).mean(1).std())
    (informed, steady), (blind, _) = _spread(True), _spread(False)
    assert informed == pytest.approx(clean, abs=4 * steady / 20)
    assert blind == pytest.approx(clean, abs=0.06)
    assert steady < 0.9 * plain


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vrpo(torch.zeros(2), NoiseParameters()), "reference pairs"),
        (lambda: vrpo(torch.zeros(3), known([0.5, 0.5], [True, False])), "row for row"),
        (lambda: known([0.5, 1.5], [True, False]), r"auxiliary.probabilities is 1.5 in row 1"),
        (lambda: known([0.5, 0.5], [True, True]), "no reference pair"),
        (lambda: Auxiliary(torch.zeros(2), torch.zeros(2)), "must be bool"),
    ],
)
def test_what_is_missing_is_said(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidLoss, match=message):
        make()
