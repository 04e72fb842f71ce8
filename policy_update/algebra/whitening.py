"""Scaling over the whole batch. `advantages` (P, G) before credit is given to tokens, (N, T) after."""

import torch
from torch import Tensor

from policy_update.algebra.estimators import EPSILON


def as_it_is(advantages: Tensor) -> Tensor:
    """No scaling."""
    return advantages


def batch_scaled(advantages: Tensor) -> Tensor:
    """A / std over all answers (P, G): one learning rate fits every weighting (GDPO, arXiv 2601.05242, eq. 8, by answer
    as TRL does; verl whitens by token, so that long answers weigh more). A constant batch gives zeros."""
    return _divided(advantages, advantages.std(unbiased=False))


def batch_whitened(advantages: Tensor) -> Tensor:
    """(A - mean) / std over all answers (P, G). A constant batch gives zeros."""
    return _divided(advantages - advantages.mean(), advantages.std(unbiased=False))


def token_whitened(advantages: Tensor, mask: Tensor) -> Tensor:
    """(A - mean) / std over all tokens with `mask` 1; (N, T), 0 elsewhere (REINFORCE++, arXiv 2501.03262)."""
    count = mask.sum().clamp_min(1)
    deviation = (advantages - (advantages * mask).sum() / count) * mask
    return _divided(deviation, (deviation.square().sum() / count).sqrt())


def _divided(values: Tensor, spread: Tensor) -> Tensor:
    return torch.where(spread > EPSILON, values / spread.clamp_min(EPSILON), torch.zeros_like(values))
