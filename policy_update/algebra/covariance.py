"""Which tokens take entropy away: those where log-probability and advantage vary together (arXiv 2505.22617).

cov_t = (A_t - mean A) (log pi_old,t - mean log pi_old), means over the tokens of the rollout. `advantages`, `old`,
`mask` (N, T). A choice is boolean (N, T), made once a rollout (verl: per micro-batch of each update, which makes it
depend on how the batch is cut).
"""

import torch
from torch import Tensor

DIGITS = 1e5 * 0.6180339887498949
"""What a log-probability is multiplied by before its fraction serves as a draw from [0, 1)."""


def nothing_chosen() -> None:
    """No choice."""


def token_covariance(advantages: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """cov_t (N, T), 0 where mask is 0."""
    count = mask.sum().clamp_min(1)
    a = advantages - (advantages * mask).sum() / count
    logp = old - (old * mask).sum() / count
    return a * logp * mask


def random_in_band(
    advantages: Tensor,
    old: Tensor,
    mask: Tensor,
    *,
    clip_rate: float = 2e-4,
    cov_low: float = 1.0,
    cov_high: float = 5.0,
) -> Tensor:
    """Clip-Cov: a share `clip_rate` of all tokens, at least one, drawn at random among those with cov_low < cov_t <
    cov_high. The draw is made from the low digits of each token's own log-probability: the function stays pure, and no
    place in an answer is drawn more often than another, as it would be under a fixed seed."""
    covariance = token_covariance(advantages, old, mask)
    eligible = (covariance > cov_low) & (covariance < cov_high) & mask.bool()
    keys = (old.abs().double() * DIGITS).frac()
    return _largest(torch.where(eligible, keys + 1, torch.zeros_like(keys)), mask, clip_rate) & eligible


def largest(advantages: Tensor, old: Tensor, mask: Tensor, *, kl_rate: float = 2e-4) -> Tensor:
    """KL-Cov: the share `kl_rate` of all tokens, at least one, with the largest covariance."""
    covariance = token_covariance(advantages, old, mask)
    return _largest(covariance.masked_fill(~mask.bool(), -torch.inf), mask, kl_rate) & mask.bool()


def _largest(keys: Tensor, mask: Tensor, share: float) -> Tensor:
    rank = keys.flatten().argsort(descending=True, stable=True).argsort().view(keys.shape)
    return rank < (share * mask.sum()).floor().clamp_min(1)
