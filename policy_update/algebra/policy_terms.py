"""Log-probabilities and advantages -> a loss per token, to be minimised. Pure functions of tensors.

Shapes: N answers, T tokens. `new` (N, T) carries the gradient; `old` and `advantages` (N, T) do not. Log-probabilities
in nats. Each returns (N, T); rho = exp(new - old).
"""

import torch
from torch import Tensor


def clipped(new: Tensor, old: Tensor, advantages: Tensor, *, clip_low: float = 0.2, clip_high: float = 0.2) -> Tensor:
    """PPO's clipped surrogate: -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A).

    0.2 and 0.2: PPO (arXiv 1707.06347); clip_high = 0.28: DAPO's clip-higher (arXiv 2503.14476).
    """
    ratio = (new - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
