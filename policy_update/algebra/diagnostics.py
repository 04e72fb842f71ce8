"""What is worth watching of each objective, as tensors: nothing here waits for a device."""

import torch
from torch import Tensor

from policy_update.algebra.estimators import EPSILON, centred, group_normalized
from policy_update.algebra.shaping import Shaped


def of_objectives(shaped: Shaped, advantages: Tensor, parts: Tensor) -> dict[str, Tensor]:
    """`mean/NAME`, `spread/NAME` (mean over prompts of the standard deviation within the group), `share/NAME` (mean
    |part| over the sum of all: how much of the advantage the objective really makes up), `covariance/NAME` (of the
    normalised objective with the advantage: an objective improves only where it is > 0, arXiv 2602.06869).

    `advantages` (P, G), `parts` (P, G, K) as a scalarisation gives them, before whitening.
    """
    deviation, count = centred(shaped.rewards)
    spread = (deviation.square().sum(1) / count.squeeze(1).clamp_min(1)).sqrt().mean(0)
    share = parts.abs().mean((0, 1))
    z = group_normalized(shaped.rewards, shaped.noise)
    figures = {
        "mean": shaped.rewards.nanmean((0, 1)),
        "spread": spread,
        "share": share / share.sum().clamp_min(EPSILON),
        "covariance": (z * (advantages - advantages.mean())[..., None]).mean((0, 1)),
    }
    return {f"{kind}/{name}": values[k] for kind, values in figures.items() for k, name in enumerate(shaped.names)}


def gradient_removed(gradient: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Number of tokens that had an advantage and yet have no gradient: what a clip took away. All (N, T)."""
    return ((gradient == 0) & (advantages != 0) & mask.bool()).sum().to(torch.float32)
