"""VRPO: the variance of the recorded preferences reduced by an older model's probabilities (Ye et al., 2504.03784).

    mean over recorded pairs of   l(z) - [g l(z) + (1 - g) l(-z)]
  + mean over reference pairs of         g l(z) + (1 - g) l(-z)

g is the older model's probability of the order z is taken in; reference pairs are two answers that the serving policy
gave to a prompt, judged by nobody. Where recorded pairs come from that policy, the two brackets have one mean, so the
loss is unbiased whatever g is; the better g, the less it varies. It guards against a misspecified Bradley-Terry model
and against few records, **not** against flipped ones. Pure.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reward_model.losses.parameters import Auxiliary, InvalidLoss, NoiseParameters


def vrpo(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Per element of z, M recorded and R reference pairs together as `noise.auxiliary` says, l = -log s:

        recorded    L = (M + R) / M (1 - g) [l(z) - l(-z)] = -(M + R) / M (1 - g) z
        reference   L = (M + R) / R [g l(z) + (1 - g) l(-z)]

    so that the mean over all rows is the equation above (with weights: give reference pairs the recorded pairs' mean).
    Convex. dL/dz is constant on a recorded pair, and goes from -g to 1 - g times (M + R) / R on a reference pair; on
    one of each at the same margin the auxiliary cancels and their mean pulls as `bt` does: -1 as z -> -inf, 0 as
    z -> +inf. Raises InvalidLoss without an auxiliary, or when its shape is not that of z.
    """
    auxiliary = noise.auxiliary
    if auxiliary is None:
        raise InvalidLoss(
            "vrpo needs an older model's probabilities and reference pairs: give NoiseParameters(auxiliary=Auxiliary("
            "probabilities, observed)), or use bt",
            field="auxiliary",
        )
    if auxiliary.probabilities.shape != z.shape:
        raise InvalidLoss(
            f"the auxiliary has shape {tuple(auxiliary.probabilities.shape)}, the margins {tuple(z.shape)}; they must "
            "be row for row the same pairs",
            field="auxiliary",
        )
    g, observed = auxiliary.probabilities.to(z), auxiliary.observed.to(z.device)
    recorded, count = observed.sum(), observed.numel()
    per_recorded, per_reference = count / recorded.clamp(min=1), count / (count - recorded).clamp(min=1)
    expected = -g * F.logsigmoid(z) - (1.0 - g) * F.logsigmoid(-z)
    return torch.where(observed, -per_recorded.to(z) * (1.0 - g) * z, per_reference.to(z) * expected)


def auxiliary_of(recorded: Tensor, reference: Tensor) -> Auxiliary:
    """The auxiliary of M recorded pairs followed by R >= 1 reference pairs, from the older model's probabilities [M],
    [R] that the first answer of each is preferred: s of its margin. Stack the pairs' features in the same order."""
    observed = torch.cat([torch.ones_like(recorded, dtype=torch.bool), torch.zeros_like(reference, dtype=torch.bool)])
    return Auxiliary(torch.cat([recorded, reference]), observed)
