"""Losses on the margin z = u(preferred) - u(other) of a preference pair. Pure; a registry by name at the end.

All take `z` (any shape, float tensor) and return the loss of each element (same shape, nats). s is the logistic
sigmoid; `e` in [0, 0.5) is the probability that a recorded preference is flipped; `t` > 1 is a threshold.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.contracts import PlauditError


class InvalidLoss(PlauditError):
    """A loss, or a parameter of one, that does not exist."""

    code = "invalid_loss"
    status = 400


@dataclass(frozen=True)
class NoiseParameters:
    """What a robust loss knows about the labels. `flip_rate` e in [0, 0.5); `threshold` t > 1."""

    flip_rate: float = 0.0
    threshold: float = 100.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.flip_rate < 0.5:
            raise InvalidLoss(f"flip_rate is {self.flip_rate}; it must be in [0, 0.5)", field="flip_rate")
        if not self.threshold > 1.0:
            raise InvalidLoss(f"threshold is {self.threshold}; it must be above 1", field="threshold")


PairLoss = Callable[[Tensor, NoiseParameters], Tensor]


def log_mixed_probability(z: Tensor, flip_rate: float) -> Tensor:
    """log p with p = (1 - e) s(z) + e s(-z): the probability of the *recorded* preference, in nats, never above 0."""
    clean = F.logsigmoid(z)
    if flip_rate == 0.0:
        return clean
    return torch.logaddexp(clean + math.log1p(-flip_rate), F.logsigmoid(-z) + math.log(flip_rate))


def bt(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Bradley-Terry: -log s(z) (Bradley and Terry 1952). |dL/dz| < 1, tending to 1 as z -> -inf. Ignores `noise`."""
    return -F.logsigmoid(z)


def label_smoothed(z: Tensor, noise: NoiseParameters) -> Tensor:
    """cDPO's label smoothing: -(1 - e) log s(z) - e log s(-z). Its minimum is at s(z) = 1 - e. |dL/dz| < 1 - e."""
    return -(1.0 - noise.flip_rate) * F.logsigmoid(z) - noise.flip_rate * F.logsigmoid(-z)


def rdpo(z: Tensor, noise: NoiseParameters) -> Tensor:
    """rDPO: [-(1 - e) log s(z) + e log s(-z)] / (1 - 2e) (Chowdhury et al. 2024, arXiv 2403.00409).

    Unbiased for the clean loss under symmetric flips, but falls without bound as z -> +inf when e > 0: only for use
    with a penalty. |dL/dz| < (1 - e) / (1 - 2e).
    """
    e = noise.flip_rate
    return (-(1.0 - e) * F.logsigmoid(z) + e * F.logsigmoid(-z)) / (1.0 - 2.0 * e)


def huber_bt(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Partially Huberised Bradley-Terry on the noise-mixed probability.

    With p = (1 - e) s(z) + e s(-z):

        L = -log p                  where p > 1/t
        L = -t p + log t + 1        where p <= 1/t   (the tangent of -log p at p = 1/t, so L and L' are continuous)

    The linear part is linear in the *probability* and so saturates in z: L <= log t + 1 and dL/dz -> 0 as z -> -inf,
    which is what makes the partial form robust where an ordinary Huber loss is not (Menon et al., "Can gradient
    clipping mitigate label noise?", ICLR 2020). e = 0 and t -> inf gives `bt`. For a bound on |dL/dz| see below.
    """
    t = noise.threshold
    log_p = log_mixed_probability(z, noise.flip_rate)
    return torch.where(log_p > -math.log(t), -log_p, -t * log_p.exp() + math.log(t) + 1.0)


def huber_bt_gradient_bound(flip_rate: float) -> float:
    """A bound on |d huber_bt / dz| for all z and t: (1 - 2 sqrt(e (1 - e))) / (1 - 2e).

    On the logarithmic part |dL/dz| = s(1 - s) / (s + a) with a = e / (1 - 2e), greatest at s = sqrt(a^2 + a) - a; on
    the linear part |dL/dz| = t (1 - 2e) s (1 - s) with t <= 1/p, which is no greater. 1 at e = 0.
    """
    NoiseParameters(flip_rate)
    return (1.0 - 2.0 * math.sqrt(flip_rate * (1.0 - flip_rate))) / (1.0 - 2.0 * flip_rate)


LOSSES: Mapping[str, PairLoss] = MappingProxyType(
    {"bt": bt, "huber_bt": huber_bt, "label_smoothed": label_smoothed, "rdpo": rdpo}
)
"""Pair losses by name."""


def pair_loss(name: str) -> PairLoss:
    """The loss called `name`. Raises InvalidLoss, naming the known ones."""
    try:
        return LOSSES[name]
    except KeyError:
        raise InvalidLoss(f"no loss is called {name!r}; known: {', '.join(sorted(LOSSES))}", field="loss") from None


def soft_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets y in [0, 1]: -y log s(x) - (1 - y) log s(-x), per element, nats."""
    return -(targets * F.logsigmoid(logits) + (1.0 - targets) * F.logsigmoid(-logits))
