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
    spread = advantages.std(unbiased=False)
    return torch.where(spread > EPSILON, advantages / spread.clamp_min(EPSILON), torch.zeros_like(advantages))
