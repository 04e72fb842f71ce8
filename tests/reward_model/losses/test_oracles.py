"""Every loss against an expression of somebody else's: torch's, sklearn's or scipy's own functions, to 1e-6."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import expit, log_expit, rel_entr
from sklearn.linear_model import SGDClassifier

from reward_model.losses import Auxiliary, NoiseParameters, pair_loss

Z = torch.linspace(-12.0, 12.0, 97, dtype=torch.float64)
E, T, Q, A, D, THETA = 0.17, 5.0, 0.6, 14.0, 0.8, 1.7
NOISE = NoiseParameters(E, T, exponent=Q, ropo_alpha=A, huber_delta=D, tie_ratio=THETA)
ONE = torch.ones_like(Z)
P = torch.sigmoid(Z)
MIXED = (1 - E) * P + E * torch.sigmoid(-Z)


def bce(targets: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(Z, targets, reduction="none")


def phuber(p: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of p kept above 1/t, and a hinge in p below it."""
    return -p.clamp(min=1 / T).log() + T * F.relu(1 / T - p)


ORACLES = {
    "bt": bce(ONE),
    "label_smoothed": bce(ONE * (1 - E)),
    "rdpo": ((1 - E) * bce(ONE) - E * bce(0 * ONE)) / (1 - 2 * E),
    "forward_corrected": F.nll_loss(torch.stack([MIXED, 1 - MIXED], 1).log(), torch.zeros(97).long(), reduction="none"),
    "huber_bt": phuber(MIXED),
    "phuber": phuber(P),
    "sigmoid": F.l1_loss(P, ONE, reduction="none"),
    "gce": torch.from_numpy((1 - expit(Z.numpy()) ** Q) / Q),
    "ropo": 4 * A / (1 + A) ** 2 * F.softplus(-Z) + 4 * A**2 / (1 + A) ** 2 * (1 - P),
    "huber_of_loss": F.huber_loss(F.softplus(-Z), 0 * Z, reduction="none", delta=D),
    "truncated_hinge": (1 - Z).clamp(0, 1.5),
    "rao_kupper": -torch.log(Z.exp() / (Z.exp() + THETA)),
    "repo_em": -torch.from_numpy(np.logaddexp(log_expit(Z.numpy()) + np.log(1 - E), log_expit(-Z.numpy()) + np.log(E))),
}


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_to_a_millionth(name: str) -> None:
    found = pair_loss(name)(Z, NOISE)
    assert torch.allclose(found, ORACLES[name], rtol=0.0, atol=1e-6), (found - ORACLES[name]).abs().max()


def test_modified_huber_is_what_sklearn_minimises() -> None:
    """The loss object of sklearn's own solver, for y = 1."""
    loss = SGDClassifier(loss="modified_huber")._get_loss_function("modified_huber")
    own = [loss.py_loss(float(z), 1.0) for z in Z]
    assert pair_loss("modified_huber")(Z, NOISE).tolist() == pytest.approx(own, abs=1e-6)


def test_repo_em_with_a_posterior_is_soft_cross_entropy() -> None:
    w = torch.sigmoid(torch.sin(3 * Z))
    found = pair_loss("repo_em")(Z, NoiseParameters(posterior=w))
    assert torch.allclose(found, bce(w), rtol=0.0, atol=1e-6)


def test_repo_em_without_one_is_the_free_energy() -> None:
    """scipy's relative entropy for the divergence term."""
    w = (1 - E) * P / MIXED
    w, p = w.numpy(), P.numpy()
    divergence = rel_entr(w, 1 - E) + rel_entr(1 - w, E)
    expected = -w * np.log(p) - (1 - w) * np.log1p(-p) + divergence
    assert pair_loss("repo_em")(Z, NOISE).numpy() == pytest.approx(expected, abs=1e-6)


def test_vrpo_is_its_papers_equation() -> None:
    """The two brackets written with torch's cross-entropy: soft targets on the reference pairs."""
    g = torch.sigmoid(torch.cos(2 * Z))
    observed = torch.arange(97) < 60
    found = pair_loss("vrpo")(Z, NoiseParameters(auxiliary=Auxiliary(g, observed))).mean()
    recorded = (bce(ONE) - bce(g))[observed].mean()
    assert float(found) == pytest.approx(float(recorded + bce(g)[~observed].mean()), abs=1e-6)
