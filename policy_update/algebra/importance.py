"""Weights (N, T), without gradient, for a sampler whose numbers differ from the trainer's: w = pi_old / pi_sampler.

`old`, `sampler` (N, T): log-probabilities in nats of the same weights by the trainer's arithmetic and by the sampler's;
both 0 at padding, where the weight is 1.
"""

import torch
from torch import Tensor


def unweighted(old: Tensor) -> Tensor:
    """1 everywhere."""
    return torch.ones_like(old)


def truncated_importance(old: Tensor, sampler: Tensor, *, importance_cap: float = 2.0) -> Tensor:
    """min(pi_old / pi_sampler, cap) a token (TIS: Yao et al., 'Your efficient RL framework secretly brings you
    off-policy RL training', 2025; cap 2 as verl, TRL 3)."""
    return (old - sampler).exp().clamp_max(importance_cap).detach()
