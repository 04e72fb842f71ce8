"""Log-probabilities and advantages -> a loss per token, to be minimised. Pure functions of tensors.

Shapes: N answers, T tokens. `new` (N, T) carries the gradient; `old` and `advantages` do not. Log-probabilities
in nats.
"""

import torch
from torch import Tensor


def clipped(new: Tensor, old: Tensor, advantages: Tensor, *, low: float, high: float) -> Tensor:
    """PPO's clipped surrogate at token level: -min(rho A, clip(rho, 1 - low, 1 + high) A), rho = exp(new - old).

    `advantages` (N,) holds for every token of its answer. low = high = 0.2 is PPO (arXiv 1707.06347); high = 0.28 is
    DAPO's clip-higher (arXiv 2503.14476). Returns (N, T).
    """
    ratio = (new - old).exp()
    scaled = advantages[:, None]
    return -torch.minimum(ratio * scaled, ratio.clamp(1 - low, 1 + high) * scaled)


def clip_fraction(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, low: float, high: float) -> Tensor:
    """Share of tokens whose gradient the clip removed, a scalar in [0, 1]."""
    ratio = (new - old).exp()
    up = (ratio > 1 + high) & (advantages[:, None] > 0)
    down = (ratio < 1 - low) & (advantages[:, None] < 0)
    return ((up | down) & mask.bool()).sum() / mask.sum().clamp_min(1)


def truncated_importance(old: Tensor, sampler: Tensor, cap: float) -> Tensor:
    """min(exp(old - sampler), cap), detached (N, T): corrects for a sampler whose numbers differ from the trainer's
    (arXiv 2510.18855; truncation instead of masking)."""
    return (old - sampler).exp().clamp_max(cap).detach()
