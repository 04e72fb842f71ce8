"""Packed weights: the same products to the last bit."""

import pytest
import torch
import torch.nn.functional as F

from infra.models.lean.packed import linear, packed


@pytest.mark.parametrize("rows", [1, 7, 48, 300])
def test_the_product_by_a_packed_weight_is_the_product(rows: int) -> None:
    draw = torch.Generator().manual_seed(rows)
    weight = torch.randn(192, 96, generator=draw).bfloat16()
    x = torch.randn(rows, 96, generator=draw).bfloat16()
    layout = packed(weight)
    if layout is None:
        assert not torch.ops.mkldnn._is_mkldnn_bf16_supported(), "this machine's bf16 products go through oneDNN"
        return
    exact = x.double() @ weight.double().t()
    found = linear(x, weight, None, layout)
    assert torch.equal(found, F.linear(x, weight)), "not a bit changes"
    assert torch.allclose(found.double(), exact, rtol=2**-8, atol=1e-6)
    bias = torch.randn(192, generator=draw).bfloat16()
    assert torch.allclose(linear(x, weight, bias, layout).double(), exact + bias.double(), rtol=2**-6, atol=0.05)


def test_what_onednn_does_not_multiply_is_not_packed() -> None:
    weight = torch.randn(8, 4)
    assert packed(weight) is None
    x = torch.randn(2, 4)
    assert torch.equal(linear(x, weight, None, None), F.linear(x, weight))
