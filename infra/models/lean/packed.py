"""Weights in the layout that oneDNN multiplies by, kept beside the plain ones.

In bf16 on a CPU every product of a plain weight first copies it into that layout, whatever the number of rows: a good
part of a step of few rows. The sums are the same in the same order, so no result changes by a bit. Costs the weights'
memory once more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.loading import cpu_multiplies_bf16

ROWS = 32
"""How many rows the layout is chosen for; it serves any number."""


def packed(weight: Tensor) -> Tensor | None:
    """`weight` [O, I] in that layout, or None where products do not go through oneDNN (other types, devices)."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return None
    if not cpu_multiplies_bf16():
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
