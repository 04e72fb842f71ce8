"""Linear fits against sklearn, and against their own optimality conditions."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from reward_model.heads import FitDiverged, fit_logistic, fit_utility, logits
from reward_model.losses import NoiseParameters


def sample(count: int = 120, width: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, width))
    y = (rng.random(count) < 1 / (1 + np.exp(-x @ np.arange(width)))).astype(float)
    return torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(rng.random(count) + 0.2)


def test_logistic_agrees_with_sklearn() -> None:
    x, y, weights = sample()
    found = fit_logistic(x, y, weights, l2=0.05)
    # sklearn minimises C sum v l + |w|^2 / 2, ours is that divided by C sum v
    oracle = LogisticRegression(C=1 / (0.05 * float(weights.sum())), tol=1e-10, max_iter=10_000)
    oracle.fit(x.numpy(), y.numpy(), sample_weight=weights.numpy())
    assert np.allclose(found[:-1].numpy(), oracle.coef_[0], atol=1e-4)
    assert float(found[-1]) == pytest.approx(float(oracle.intercept_[0]), abs=1e-4)


def test_a_soft_label_is_a_mixture_of_hard_ones() -> None:
    x, _, weights = sample()
    soft = torch.rand(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = torch.cat([x, x])
    hard = torch.cat([torch.ones(len(x)), torch.zeros(len(x))]).double()
    split = fit_logistic(both, hard, torch.cat([weights * soft, weights * (1 - soft)]), l2=0.01)
    assert torch.allclose(fit_logistic(x, soft, weights, l2=0.01), split, atol=1e-4)


def test_bradley_terry_is_logistic_regression_on_both_orders_without_intercept() -> None:
    differences, _, weights = sample()
    found = fit_utility(differences, weights, l2=0.05)
    both = torch.cat([differences, -differences]).numpy()
    oracle = LogisticRegression(
        C=1 / (0.05 * 2 * float(weights.sum())), fit_intercept=False, tol=1e-10, max_iter=10_000
    )
    oracle.fit(both, np.repeat([1.0, 0.0], len(differences)), sample_weight=np.tile(weights.numpy(), 2))
    assert np.allclose(found.numpy(), oracle.coef_[0], atol=1e-4)


def test_huber_bt_with_nothing_to_be_robust_against_is_bradley_terry() -> None:
    differences, _, weights = sample()
    plain = fit_utility(differences, weights, 0.05)
    robust = fit_utility(differences, weights, 0.05, "huber_bt", NoiseParameters(0.0, 1e9), plain)
    assert torch.allclose(robust, plain, atol=1e-4)


def test_the_robust_loss_shrugs_off_what_holds_bradley_terry_back() -> None:
    """All honest pairs point one way; a twentieth are planted far the other way, and no utility can satisfy both."""
    rng = np.random.default_rng(0)
    honest, planted = np.abs(rng.normal(1.0, 0.5, 190)), np.full(10, -6.0)
    differences, weights = torch.from_numpy(np.concatenate([honest, planted])[:, None]), torch.ones(200).double()
    plain = fit_utility(differences, weights, 0.01)
    robust = fit_utility(differences, weights, 0.01, "huber_bt", NoiseParameters(0.05, 10.0), plain)
    alone = fit_utility(differences[:190], weights[:190], 0.01)
    assert float(plain[0]) < 0.5 * float(alone[0])
    assert float(robust[0]) > 0.7 * float(alone[0])


def test_more_penalty_means_smaller_weights() -> None:
    x, y, weights = sample()
    norms = [float(fit_logistic(x, y, weights, l2)[:-1].norm()) for l2 in (0.001, 0.1, 10.0)]
    assert norms == sorted(norms, reverse=True)


def test_logits_put_the_intercept_last() -> None:
    assert float(logits(torch.tensor([[2.0, 3.0]]), torch.tensor([10.0, 100.0, 1.0]))[0]) == 321.0


def test_nan_features_are_named() -> None:
    x, y, weights = sample()
    x[3, 1] = float("nan")
    with pytest.raises(FitDiverged, match="NaN"):
        fit_logistic(x, y, weights, 0.1)
