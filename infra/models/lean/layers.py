"""The parts of a decoder layer as autograd functions that keep little for the backward pass.

x [T, I] are tokens laid end to end, no padding among them. Weights are frozen; LoRA pairs alone get gradients.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.lean.packed import linear


@dataclass(frozen=True)
class Pair:
    """A LoRA pair of output rows [start, end) of a product: a [R, I], b [end - start, R]; W holds scale b a already."""

    a: Tensor
    b: Tensor
    scale: float
    start: int
    end: int


@dataclass(frozen=True)
class Product:
    """y = x W^T + bias, W [O, I]. With `pairs`, W is base + scale B A, and B and A get the gradients of that sum.
    `layout`: W as `infra.models.lean.packed` lays it out, for those who answer by it; gradients never pass it."""

    weight: Tensor
    bias: Tensor | None = None
    pairs: tuple[Pair, ...] = ()
    layout: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if not (self.pairs and torch.is_grad_enabled()):
            return linear(x, self.weight, self.bias, None if torch.is_grad_enabled() else self.layout)
        flat = [tensor for pair in self.pairs for tensor in (pair.a, pair.b)]
        return MergedLora.apply(x, self.weight, self.bias, self.pairs, *flat)  # type: ignore[no-any-return,no-untyped-call]


class MergedLora(torch.autograd.Function):
    """The forward pass is one product with the merged weight. dA = s B^T dY^T x, dB = s dY^T (x A^T): no gradient of W
    is ever formed. With W rounded to bf16 the rounding is passed straight through."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pairs: tuple[Pair, ...], *_flat: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad, pairs = grads[0], ctx.pairs
        ranks = [pair.a.shape[0] for pair in pairs]
        down = (x @ torch.cat([pair.a for pair in pairs]).t()).split(ranks, 1)  # [T, R] each
        through = [grad[:, pair.start : pair.end] @ pair.b for pair in pairs]
        to_a = (torch.cat(through, 1).t() @ x).split(ranks)
        found: list[Tensor | None] = []
        for pair, own_a, own_down in zip(pairs, to_a, down, strict=True):
            to_b = grad[:, pair.start : pair.end].t() @ own_down
            found += [own_a * pair.scale, to_b.mul_(pair.scale)]
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        return grad_x, None, None, None, *found


class RmsNorm(torch.autograd.Function):
    """w x / sqrt(mean x^2 + eps) by row, in fp32 within, rounded where transformers rounds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return F.rms_norm(x, (x.shape[-1],), weight, eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, weight = ctx.saved_tensors
        wide = x.float()
        scale = wide.square().mean(-1, keepdim=True).add_(ctx.eps).rsqrt_()
        normed = wide.mul_(scale) if wide is not x else wide * scale
        inner = (grads[0] * weight).float()
        along = (inner * normed).mean(-1, keepdim=True)
        return inner.sub_(normed.mul_(along)).mul_(scale).to(x.dtype), None, None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RmsNorm [T, I] -> [T, I]."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return F.rms_norm(x, (x.shape[-1],), weight, eps)
    return RmsNorm.apply(x, weight, eps)  # type: ignore[no-any-return,no-untyped-call]


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up of [T, 2 I] -> [T, I]; only the input is kept."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, -1)
        ctx.save_for_backward(both)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        grad = grads[0]
        out = torch.empty_like(both)
        to_gate, to_up = out.chunk(2, -1)
        torch.mul(grad, F.silu(gate), out=to_up)
        to_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return out


def swiglu(both: Tensor) -> Tensor:
    """SwiGlu [T, 2 I] -> [T, I]."""
    if not (both.requires_grad and torch.is_grad_enabled()):
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)
    return SwiGlu.apply(both)  # type: ignore[no-any-return,no-untyped-call]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [T, heads, width] by cos, sin [T, 1, width / 2] (halves of a head are the two axes)."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
