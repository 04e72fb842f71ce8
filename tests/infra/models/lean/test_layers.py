"""Each function against autograd on its plain equation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.lean.layers import Pair, Product, rms_norm, rotate, swiglu
from infra.models.lean.packed import packed


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def same_gradients(ours: Tensor, theirs: Tensor, *leaves: Tensor) -> None:
    assert torch.allclose(ours, theirs, atol=1e-5)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(9))
    first = torch.autograd.grad((ours * weights).sum(), leaves)
    second = torch.autograd.grad((theirs * weights).sum(), leaves)
    for a, b in zip(first, second, strict=True):
        assert torch.allclose(a, b, atol=1e-4, rtol=1e-4)


def test_gradients_never_pass_a_packed_weight() -> None:
    x, weight = leaf(5, 8), leaf(12, 8, seed=1).detach()
    wrong = packed(torch.zeros_like(weight))  # so that it is seen which of the two is taken
    if wrong is None:
        pytest.skip("torch has no oneDNN here")
    product = Product(weight, layout=wrong)
    same_gradients(product(x), F.linear(x, weight), x)
    with torch.no_grad():
        assert not product(x).any()


def test_rms_norm_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0]])
    assert torch.allclose(rms_norm(x, torch.tensor([1.0, 2.0]), 0.0), x / 12.5**0.5 * torch.tensor([1.0, 2.0]))


def test_rms_norm_against_autograd() -> None:
    x, weight = leaf(5, 8), leaf(8, seed=1).detach()
    plain = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight
    same_gradients(rms_norm(x, weight, 1e-5), plain, x)


def test_swiglu_against_autograd() -> None:
    x = leaf(5, 12)
    same_gradients(swiglu(x), F.silu(x[:, :6]) * x[:, 6:], x)


@pytest.mark.parametrize("bias", [True, False])
def test_merged_lora_has_the_gradients_of_the_sum(bias: bool) -> None:
    """Two pairs on the rows of one product: what q and v of a fused q, k, v get."""
    x, base = leaf(7, 6), leaf(10, 6, seed=1).detach()
    a1, b1, a2, b2 = leaf(2, 6, seed=2), leaf(4, 2, seed=3), leaf(3, 6, seed=4), leaf(5, 3, seed=5)
    offset = leaf(10, seed=6).detach() if bias else None
    delta = torch.cat([2.0 * b1 @ a1, torch.zeros(1, 6), 0.5 * b2 @ a2])
    product = Product((base + delta).detach(), offset, (Pair(a1, b1, 2.0, 0, 4), Pair(a2, b2, 0.5, 5, 10)))
    same_gradients(product(x), F.linear(x, base + delta, offset), x, a1, b1, a2, b2)


def test_rotation_by_hand() -> None:
    """A quarter turn of the first axis pair, none of the second."""
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    cos, sin = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]])
    assert rotate(x, cos, sin).tolist() == [[[-3.0, 2.0, 1.0, 4.0]]]
