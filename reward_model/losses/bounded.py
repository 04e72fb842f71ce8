"""Robust losses of the margin alone, without a model of the flips. Pure. s is the logistic sigmoid."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reward_model.losses.parameters import NoiseParameters


def sigmoid(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Symmetric sigmoid loss: L = s(-z), in [0, 1], L(z) + L(-z) = 1 (Ghosh et al. 2015; SymPO, 2505.24709).

    Symmetric losses have the same minimiser under any uniform flip rate below 1/2. dL/dz = -s(z) s(-z): 0 as
    z -> -inf and as z -> +inf, at most 1/4. Not in nats. Ignores `noise`.
    """
    return torch.sigmoid(-z)


def gce(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Generalised cross-entropy: L = (1 - s(z)^q) / q, q in (0, 1] = `noise.exponent` (Zhang and Sabuncu 2018,
    1805.07836).

    q = 1 is `sigmoid`, q -> 0 is `bt`. dL/dz = -s(z)^q s(-z): 0 as z -> -inf and as z -> +inf, at most
    (q / (1 + q))^q / (1 + q). L <= 1/q.
    """
    q = noise.exponent
    return -torch.expm1(q * F.logsigmoid(z)) / q


def ropo(z: Tensor, noise: NoiseParameters) -> Tensor:
    """ROPO: L = [4a / (1 + a)^2] (-log s(z)) + [4a^2 / (1 + a)^2] s(-z), a > 0 = `noise.ropo_alpha` (Liang et al.,
    2404.04102, eq. 9; ICML 2025).

    Bradley-Terry and the symmetric loss, weighed so that the greatest pull is 1, at s(-z) = (1 + a) / (2a).
    dL/dz: -4a / (1 + a)^2 as z -> -inf, 0 as z -> +inf.
    """
    a = noise.ropo_alpha
    return (4.0 * a * -F.logsigmoid(z) + 4.0 * a**2 * torch.sigmoid(-z)) / (1.0 + a) ** 2


def huber_of_loss(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Huber of the loss, the literal robust estimator min sum rho(l): l = -log s(z), rho Huber's function.

        rho(l) = l^2 / 2            where l <= d
        rho(l) = d (l - d / 2)      where l > d       (d = `noise.huber_delta`, nats; Huber 1964)

    dL/dz = -min(l, d) s(-z): -d as z -> -inf, 0 as z -> +inf. Bounded, as Bradley-Terry's already is, and for the same
    reason not robust: a hopeless record pulls with force d for ever, and the easy ones hardly pull at all.
    """
    return torch.nn.functional.huber_loss(-F.logsigmoid(z), torch.zeros_like(z), "none", noise.huber_delta)


def modified_huber(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Modified Huber: L = max(0, 1 - z)^2 where z >= -1, -4z below (Zhang 2004, "Solving large scale linear prediction
    problems"). Ignores `noise`.

    dL/dz: -4 as z -> -inf (from z < -1 on), 0 for z >= 1. Not in nats.
    """
    return torch.where(z >= -1.0, F.relu(1.0 - z).square(), -4.0 * z)


def truncated_hinge(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Truncated hinge: L = max(0, 1 - z) - max(0, -1/2 - z), in [0, 3/2] (ramp loss, Wu and Liu 2007; the default of
    the code of 2504.03784). Ignores `noise`.

    dL/dz: -1 on (-1/2, 1), 0 for z < -1/2 and z > 1. Not in nats.
    """
    return F.relu(1.0 - z) - F.relu(-0.5 - z)
