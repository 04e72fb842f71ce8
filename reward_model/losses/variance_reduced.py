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

from reward_model.losses.parameters import InvalidLoss, NoiseParameters


def vrpo(z: Tensor, noise: NoiseParameters) -> Tensor:
    """Per element of z [M], recorded and reference pairs together as `noise.auxiliary` says, l = -log s:

        recorded    L = (1 - g) [l(z) - l(-z)] = -(1 - g) z
        reference   L = c [g l(z) + (1 - g) l(-z)],   c = recorded / reference rows

    so that the sum is the number of recorded pairs times the equation above (equal weights). Convex. dL/dz is -(1 - g)
    everywhere on a recorded pair, and from -c g at z -> -inf to c (1 - g) at z -> +inf on a reference pair. Raises
    InvalidLoss without an auxiliary, or when its shape is not that of z.
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
    recorded = observed.sum()
    scale = recorded / (observed.numel() - recorded).clamp(min=1)
    expected = -g * F.logsigmoid(z) - (1.0 - g) * F.logsigmoid(-z)
    return torch.where(observed, -(1.0 - g) * z, scale.to(z) * expected)
