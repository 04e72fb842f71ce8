"""Losses on the probability of the *recorded* preference, p = (1 - e) s(z) + e s(-z), and their Huberised forms. Pure.

"Huberised" is partial: linear in the probability below 1/t, hence saturating in the margin. An ordinary Huber loss or a
clipped gradient of Bradley-Terry is not robust to flips; this form is (Menon, Rawat, Reddi, Kumar, "Can gradient
clipping mitigate label noise?", ICLR 2020).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reward_model.losses.parameters import NoiseParameters


def log_mixed_probability(z: Tensor, flip_rate: float | Tensor) -> Tensor:
    """log p with p = (1 - e) s(z) + e s(-z): the probability of the *recorded* preference, in nats, never above 0.

    e in [0, 1]: a float, or a tensor broadcastable to z.
    """
    clean = F.logsigmoid(z)
    if not isinstance(flip_rate, Tensor):
        if flip_rate == 0.0:
            return clean
        if flip_rate == 1.0:
            return F.logsigmoid(-z)
        return torch.logaddexp(clean + math.log1p(-flip_rate), F.logsigmoid(-z) + math.log(flip_rate))
    e = flip_rate.to(z)
    return torch.logaddexp(clean + torch.log1p(-e), F.logsigmoid(-z) + e.log())


def forward_corrected(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Forward correction: L = -log p (Patrini et al., CVPR 2017, with a symmetric transition matrix).

    The likelihood of the records, so consistent where e is right. dL/dz = s(z) - w with the posterior
    w = (1 - e) s(z) / p that the record holds: 0 as z -> -inf when e > 0 (-1 when e = 0), 0 as z -> +inf. L itself is
    at most -log e.
    """
    return -log_mixed_probability(z, noise.flip_rate)


def huber_bt(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Partially Huberised Bradley-Terry on the noise-mixed probability.

    With p = (1 - e) s(z) + e s(-z):

        L = -log p                  where p > 1/t
        L = -t p + log t + 1        where p <= 1/t   (the tangent of -log p at p = 1/t, so L and L' are continuous)

    The linear part is linear in the *probability* and so saturates in z: L <= log t + 1, and dL/dz -> 0 as z -> -inf
    and as z -> +inf. e = 0 and t -> inf gives `bt`, e = 0 alone `phuber`, t -> inf alone `forward_corrected`. For a
    bound on |dL/dz| see below. Source: Menon et al. 2020 for the partial form, Patrini et al. 2017 for the mixing.
    """
    return _partially_huberised(log_mixed_probability(z, noise.flip_rate), noise.threshold)


def phuber(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Partially Huberised Bradley-Terry without mixing: `huber_bt` on p = s(z) (Menon et al. 2020). Ignores flip_rate.

    dL/dz: 0 as z -> -inf and as z -> +inf; |dL/dz| <= 1 - 1/t for t >= 2, t/4 below.
    """
    return _partially_huberised(F.logsigmoid(z), noise.threshold)


def _partially_huberised(log_p: Tensor, threshold: float) -> Tensor:
    t = threshold
    return torch.where(log_p > -math.log(t), -log_p, -t * log_p.exp() + math.log(t) + 1.0)


def huber_bt_gradient_bound(flip_rate: float) -> float:
    """A bound on |d huber_bt / dz| for all z and t: (1 - 2 sqrt(e (1 - e))) / (1 - 2e).

    On the logarithmic part |dL/dz| = s(1 - s) / (s + a) with a = e / (1 - 2e), greatest at s = sqrt(a^2 + a) - a; on
    the linear part |dL/dz| = t (1 - 2e) s (1 - s) with t <= 1/p, which is no greater. 1 at e = 0.
    """
    NoiseParameters(flip_rate)
    return (1.0 - 2.0 * math.sqrt(flip_rate * (1.0 - flip_rate))) / (1.0 - 2.0 * flip_rate)
