"""The loss of a batch as a sum over its units, so that it can be computed in pieces. Pure tensors, fp32.

    L = 1/W sum_m w_m [ q_m l(z_m) + (1 - q_m) l(-z_m) + c (u_m1 + u_m2)^2 ]            pairs, W = sum w_m
      + a/K' sum_k 1/V_k sum_i v_ik BCE(x_ik, y_ik)                                     labels, V_k = sum v_ik

averaged over the heads of the ensemble. z_m = u_m1 - u_m2 + b (length_m1 - length_m2); K' objectives have labels in the
batch; W and V are of the whole batch, without the bootstrap's weights, which have mean 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reward_model.losses import NoiseParameters, graded_loss, soft_bce


@dataclass(frozen=True)
class PairTerms:
    """Of P pairs: utilities first, second [P, 1 + E]; weights [P, 1 + E], the bootstrap's included; soft [P] in
    [0.5, 1]; flip_rates [P]; offsets [P], added to every margin."""

    first: Tensor
    second: Tensor
    weights: Tensor
    soft: Tensor
    flip_rates: Tensor
    offsets: Tensor


def pair_sum(terms: PairTerms, loss: str, threshold: float, centring: float) -> Tensor:
    """Sum over pairs, mean over heads: a scalar, to be divided by W."""
    z = terms.first - terms.second + terms.offsets[:, None]
    noise = NoiseParameters(flip_rate=terms.flip_rates[:, None], threshold=threshold)
    soft = terms.soft[:, None].expand_as(z) if bool((terms.soft < 1.0).any()) else None
    values = graded_loss(loss)(z, noise, soft, None)
    if centring:
        values = values + centring * (terms.first + terms.second).square()
    return (terms.weights * values).sum(0).mean()


def label_sum(logits: Tensor, targets: Tensor, weights: Tensor, totals: Tensor) -> Tensor:
    """sum_k 1/V_k sum_i v_ik BCE, mean over heads: logits, weights [S, K, 1 + E]; targets [S, K], NaN for none;
    totals [K] = V_k, 0 for an objective without labels in the batch. A scalar, to be multiplied by a/K'."""
    present = ~torch.isnan(targets)
    losses = soft_bce(logits, targets.nan_to_num()[:, :, None])
    shares = torch.where(totals > 0, 1.0 / totals.clamp_min(1e-30), torch.zeros_like(totals))
    return (losses * weights * (present * shares)[:, :, None]).sum((0, 1)).mean()
