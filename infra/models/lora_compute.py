"""One fused product for a LoRA layer: y = x W^T + b + s (x A^T) B^T, keeping x alone for the backward pass.

peft's own forward makes two more tensors as large as y, keeps three for the backward pass, and, with adapters in fp32
beside a base in bf16, copies every input to fp32 and every output back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class FusedLora(torch.autograd.Function):
    """Gradients for x, A and B; W and b are frozen. x [..., I], W [O, I], A [R, I], B [O, R]; all of one type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        out = F.linear(rows, weight, bias)
        out.addmm_(rows @ a.t(), b.t(), alpha=scale)
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, a, b = ctx.saved_tensors
        rows = x.reshape(-1, x.shape[-1])
        grad = grads[0].reshape(-1, weight.shape[0])
        through = grad @ b  # [T, R]
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(through, a, alpha=ctx.scale).view(x.shape)
        grad_a = (through.t() @ rows).mul_(ctx.scale)
        grad_b = (grad.t() @ (rows @ a.t())).mul_(ctx.scale)
        return grad_x, None, None, grad_a, grad_b, None


def fuse(model: Any, adapter: str = "default") -> list[Any]:
    """Let every plain LoRA layer of a peft model compute its `adapter` fused from now on; returns the layers changed.

    A layer that is anything else (quantised, a convolution, DoRA, with dropout, of mixed types) keeps peft's forward.
    """
    changed = [module for module in model.modules() if _plain(module, adapter) and "forward" not in vars(module)]
    for module in changed:
        module.forward = _forward(module, adapter)
    return changed


@contextmanager
def fused(model: Any, adapter: str = "default") -> Iterator[int]:
    """`fuse` while entered; yields how many layers were changed."""
    changed = fuse(model, adapter)
    try:
        yield len(changed)
    finally:
        for module in changed:
            del module.forward


def _plain(module: Any, adapter: str) -> bool:
    from peft.tuners.lora import Linear

    if type(module) is not Linear or adapter not in module.lora_A or module.active_adapters != [adapter]:
        return False
    base = module.get_base_layer()
    types = {base.weight.dtype, module.lora_A[adapter].weight.dtype, module.lora_B[adapter].weight.dtype}
    dropout = isinstance(module.lora_dropout[adapter], torch.nn.Identity)
    return type(base) is torch.nn.Linear and len(types) == 1 and dropout and adapter not in module.lora_variant


def _forward(module: Any, adapter: str) -> Any:
    base, a, b = module.get_base_layer(), module.lora_A[adapter], module.lora_B[adapter]
    scale = float(module.scaling[adapter])

    def forward(x: Tensor, *_args: Any, **_more: Any) -> Tensor:
        out: Tensor = FusedLora.apply(x, base.weight, base.bias, a.weight, b.weight, scale)  # type: ignore[no-untyped-call]
        return out

    return forward
