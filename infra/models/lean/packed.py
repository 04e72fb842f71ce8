"""Weights in the layout that oneDNN multiplies by, kept beside the plain ones.

On a CPU every product of a plain weight first copies it into a layout for its kernels, whatever the number of rows: a
good part of a step of few rows. In bf16, where oneDNN computes both, no result changes by a bit. In fp32 the plain
product is MKL's, which sums in another order: results differ by fp32's rounding. Costs the weights' memory once more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.loading import cpu_multiplies_bf16

ROWS = 32
"""How many rows the layout is chosen for; it serves any number."""


def packed(weight: Tensor) -> Tensor | None:
    """`weight` [O, I] in that layout, or None where oneDNN has no product to gain by (other types and devices, bf16
    without its instructions)."""
    if weight.device.type != "cpu" or not _multiplies(weight.dtype):
        return None
    with torch.inference_mode():
        found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    return found


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, layout: Tensor | None) -> Tensor:
    """x W^T + bias, [T, I] -> [T, O], by the packed weight where there is one; without gradients."""
    if layout is None:
        return F.linear(x, weight, bias)
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, layout, bias, "none", [], "")
    return found


def _multiplies(dtype: torch.dtype) -> bool:
    """Whether oneDNN has kernels for `dtype` here that gain by a packed weight."""
    if dtype == torch.bfloat16:
        return cpu_multiplies_bf16()
    return dtype == torch.float32 and bool(torch._C._has_mkldnn)
