"""Rao and Kupper's model of paired comparisons with ties (JASA 1967). Pure.

With theta = `noise.tie_ratio` > 1 and eta = log theta:

    P(first wins)  = s(z - eta)
    P(second wins) = s(-z - eta)
    P(tie)         = 1 - the two = (theta^2 - 1) s(z - eta) s(-z - eta)
"""

import math

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from reward_model.losses.parameters import NoiseParameters


def rao_kupper(z: Tensor, noise: NoiseParameters) -> Tensor:
    """A recorded win: L = -log s(z - eta). dL/dz: -1 as z -> -inf, 0 as z -> +inf. theta -> 1 gives `bt`."""
    return -F.logsigmoid(z - math.log(noise.tie_ratio))


def rao_kupper_tie(z: Tensor, noise: NoiseParameters) -> Tensor:
    """A recorded tie: L = -log[(theta^2 - 1) s(z - eta) s(-z - eta)], least at z = 0.

    dL/dz = s(z + eta) - s(eta - z): -1 as z -> -inf, 1 as z -> +inf.
    """
    eta = math.log(noise.tie_ratio)
    return -math.log(math.expm1(2.0 * eta)) - F.logsigmoid(z - eta) - F.logsigmoid(-z - eta)


def fit_tie_ratio(z: Tensor, tied: Tensor, weights: Tensor, *, largest: float = 100.0) -> float:
    """The theta in (1, largest] of greatest likelihood at fixed margins: z [M] of the recorded order (any for a tie),
    tied [M] bool, weights [M] >= 0 with a positive sum.

    Where all margins are 0 and a share tau is tied, theta = (1 + tau) / (1 - tau); without ties it is next to 1.
    """

    def negative(eta: float) -> float:
        noise = NoiseParameters(tie_ratio=math.exp(eta))
        return float((weights * torch.where(tied, rao_kupper_tie(z, noise), rao_kupper(z, noise))).sum())

    found = minimize_scalar(negative, bounds=(1e-6, math.log(largest)), method="bounded", options={"xatol": 1e-7})
    return float(math.exp(found.x))


def rao_kupper_graded(z: Tensor, noise: NoiseParameters, soft: Tensor) -> Tensor:
    """The loss of a soft record y in [0, 1]: y = 1 first won, y = 0 second won, y = 1/2 a tie, in between in
    proportion.

        L = |2y - 1| L_win(+-z) + (1 - |2y - 1|) L_tie(z)
    """
    decided = (2.0 * soft - 1.0).abs()
    win = torch.where(soft >= 0.5, rao_kupper(z, noise), rao_kupper(-z, noise))
    return decided * win + (1.0 - decided) * rao_kupper_tie(z, noise)
