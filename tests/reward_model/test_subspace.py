"""Standardisation and the subspace that loses nothing."""

import pytest
import torch

from reward_model.heads import fit_utility
from reward_model.subspace import InvalidFeatures, Standardizer, principal_basis


def test_rows_have_unit_mean_square() -> None:
    features = torch.randn(200, 7, generator=torch.Generator().manual_seed(0)) * 30 + 5
    x = Standardizer.of(features).apply(features)
    assert x.mean(0).abs().max() < 1e-5
    assert float(x.square().sum(1).mean()) == pytest.approx(1.0, abs=1e-4)


def test_a_constant_feature_stays_finite() -> None:
    features = torch.ones(5, 2)
    assert torch.isfinite(Standardizer.of(features).apply(features)).all()


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InvalidFeatures, match="1 of 3 answers"):
        Standardizer.of(torch.tensor([[1.0, 2.0], [float("inf"), 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("shape", [(20, 60), (60, 20)])
def test_the_full_basis_gives_the_same_head(shape: tuple[int, int]) -> None:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()
    basis = principal_basis(rows, 1000)
    assert torch.allclose(basis.T @ basis, torch.eye(basis.shape[1]).double(), atol=1e-8)
    weights = torch.ones(len(rows)).double()
    direct = fit_utility(rows, weights, 0.05)
    assert torch.allclose(basis @ fit_utility(rows @ basis, weights, 0.05), direct, atol=1e-3)


def test_components_keep_the_largest_directions() -> None:
    rows = torch.diag(torch.tensor([3.0, 1.0, 2.0])).double()
    basis = principal_basis(rows, 2)
    assert torch.allclose(basis.abs().sum(1), torch.tensor([1.0, 0.0, 1.0]).double(), atol=1e-9)
