"""Packed weights: the same products, in bf16 to the last bit."""

import pytest
import torch
import torch.nn.functional as F

from infra.models.lean.packed import linear, packed

ROWS = [1, 7, 48, 300]


def _drawn(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, weight and bias."""
    draw = torch.Generator().manual_seed(rows)
    return torch.randn(rows, 96, generator=draw), torch.randn(192, 96, generator=draw), torch.randn(192, generator=draw)


@pytest.mark.parametrize("rows", ROWS)
def test_the_product_by_a_packed_weight_is_the_product(rows: int) -> None:
    x, weight, bias = (tensor.bfloat16() for tensor in _drawn(rows))
    layout = packed(weight)
    if layout is None:
        assert not torch.ops.mkldnn._is_mkldnn_bf16_supported(), "this machine's bf16 products go through oneDNN"
        return
    exact = x.double() @ weight.double().t()
    found = linear(x, weight, None, layout)
    assert torch.equal(found, F.linear(x, weight)), "not a bit changes"
    assert torch.allclose(found.double(), exact, rtol=2**-8, atol=1e-6)
    assert torch.allclose(linear(x, weight, bias, layout).double(), exact + bias.double(), rtol=2**-6, atol=0.05)


@pytest.mark.parametrize("rows", ROWS)
def test_in_fp32_it_is_the_product_up_to_rounding(rows: int) -> None:
    x, weight, bias = _drawn(rows)
    layout = packed(weight)
    if layout is None:
        assert not torch._C._has_mkldnn, "torch has oneDNN here"
        return
    exact = x.double() @ weight.double().t()
    bound = 96 * 2.0**-24 * (x.double().abs() @ weight.double().abs().t())  # n u |x| |w|, whatever the order of sums
    assert ((linear(x, weight, None, layout).double() - exact).abs() <= bound).all()
    offset = bound + 2.0**-23 * (exact + bias.double()).abs()
    assert ((linear(x, weight, bias, layout).double() - exact - bias.double()).abs() <= offset).all()


def test_what_onednn_does_not_multiply_is_not_packed() -> None:
    weight = torch.randn(8, 4, dtype=torch.float64)
    assert packed(weight) is None
    x = torch.randn(2, 4, dtype=torch.float64)
    assert torch.equal(linear(x, weight, None, None), F.linear(x, weight))
