"""Logistic losses on the margin: Bradley-Terry and its two corrections for flips that stay unbounded. Pure.

s is the logistic sigmoid, z the margin u(preferred) - u(other), e the flip rate.
"""

import torch.nn.functional as F
from torch import Tensor

from reward_model.losses.parameters import NoiseParameters, like


def bt(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Bradley-Terry: L = -log s(z) (Bradley and Terry 1952). Ignores `noise`.

    dL/dz = -s(-z): -1 as z -> -inf, 0 as z -> +inf. Bounded, but a hopeless record pulls with full force for ever.
    """
    return -F.logsigmoid(z)


def label_smoothed(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Label smoothing (conservative DPO): L = -(1 - e) log s(z) - e log s(-z) (Mitchell 2023). Least at s(z) = 1 - e.

    dL/dz = s(z) - (1 - e): -(1 - e) as z -> -inf, e as z -> +inf.
    """
    e = like(noise.flip_rate, z)
    return -(1.0 - e) * F.logsigmoid(z) - e * F.logsigmoid(-z)


def rdpo(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Noise-corrected (rDPO): L = [-(1 - e) log s(z) + e log s(-z)] / (1 - 2e) (Chowdhury et al. 2024, 2403.00409).

    Unbiased for the clean loss under symmetric flips, but falls without bound as z -> +inf when e > 0: only for use
    with a penalty. dL/dz = -[(1 - e) s(-z) + e s(z)] / (1 - 2e): -(1 - e)/(1 - 2e) as z -> -inf, -e/(1 - 2e) as
    z -> +inf.
    """
    e = like(noise.flip_rate, z)
    return (-(1.0 - e) * F.logsigmoid(z) + e * F.logsigmoid(-z)) / (1.0 - 2.0 * e)


def soft_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets y in [0, 1]: -y log s(x) - (1 - y) log s(-x), per element, nats."""
    return -(targets * F.logsigmoid(logits) + (1.0 - targets) * F.logsigmoid(-logits))
