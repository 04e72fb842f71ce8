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


def masked_importance(
    old: Tensor, sampler: Tensor, *, importance_low: float = 0.5, importance_high: float = 5.0
) -> Tensor:
    """pi_old / pi_sampler a token, and 0 outside [importance_low, importance_high]: a token on which the two disagree
    that much teaches nothing (IcePop, arXiv 2510.18855; bounds as OpenRLHF)."""
    ratio = (old - sampler).exp()
    return _masked(ratio, (ratio >= importance_low) & (ratio <= importance_high)).detach()


def truncated_sequence_importance(old: Tensor, sampler: Tensor, mask: Tensor, *, importance_cap: float = 2.0) -> Tensor:
    """min(prod_t pi_old / pi_sampler, cap), the same for every token of an answer: unbiased for the answer as a whole
    where the token form is not, at more variance."""
    return _sequence_ratio(old, sampler, mask).clamp_max(importance_cap).expand_as(old).detach()


def masked_sequence_importance(old: Tensor, sampler: Tensor, mask: Tensor, *, importance_cap: float = 3.0) -> Tensor:
    """prod_t pi_old / pi_sampler for every token of an answer, and 0 above the cap (TRL 1.16's default, cap 3)."""
    ratio = _sequence_ratio(old, sampler, mask)
    return _masked(ratio, ratio <= importance_cap).expand_as(old).detach()


def _masked(ratio: Tensor, kept: Tensor) -> Tensor:
    """A product would make NaN of a ratio that overflowed."""
    return torch.where(kept, ratio, torch.zeros_like(ratio))


def _sequence_ratio(old: Tensor, sampler: Tensor, mask: Tensor) -> Tensor:
    return ((old - sampler) * mask).sum(1, keepdim=True).exp()
