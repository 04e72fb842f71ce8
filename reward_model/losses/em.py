"""RE-PO: records weighed by how much each source has proved itself, by expectation-maximisation. Pure.

A record of source k holds with probability h_k; s(z) is the model's probability of the recorded order.

    E-step   w_i = h_k s(z_i) / [h_k s(z_i) + (1 - h_k) s(-z_i)]
    M-step   h_k = mean of w over the records of k;  the model minimises  sum_i w_i l(z_i) + (1 - w_i) l(-z_i)

with l = -log s (2509.24159). Each round raises the likelihood of the records (Dempster, Laird and Rubin 1977).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reward_model.losses.mixed import log_mixed_probability
from reward_model.losses.parameters import InvalidLoss, NoiseParameters, like


def e_step(z: Tensor, reliability: float | Tensor) -> Tensor:
    """w, shape of z: the probability that each record holds, given margins z and reliabilities h in [0, 1].

    As a log-odds it is z + log(h / (1 - h)): what the model says and what the source has earned simply add up.
    """
    h = torch.as_tensor(reliability, dtype=z.dtype, device=z.device)
    return torch.sigmoid(z + h.log() - torch.log1p(-h))


def m_step(
    posterior: Tensor,
    sources: Tensor,
    weights: Tensor,
    count: int,
    *,
    prior_mean: float = 0.9,
    prior_strength: float = 0.0,
) -> Tensor:
    """h [K]: the reliability of each of K = `count` sources from w [M] in [0, 1], sources [M] in [0, K), weights [M].

        h_k = (sum_i v_i w_i + n m) / (sum_i v_i + n)      over the records i of k

    with a Beta prior of mean m and strength n, in records; a source without records has reliability m.
    """
    NoiseParameters(reliability=prior_mean)
    if prior_strength < 0.0:
        raise InvalidLoss(f"prior_strength is {prior_strength}; it must be at least 0", field="prior_strength")
    top = torch.zeros(count, dtype=posterior.dtype, device=posterior.device).index_add(0, sources, weights * posterior)
    mass = torch.zeros_like(top).index_add(0, sources, weights.to(posterior.dtype))
    known = mass + prior_strength > 0.0
    found = (top + prior_strength * prior_mean) / torch.where(known, mass + prior_strength, 1.0)
    return torch.where(known, found, torch.full_like(found, prior_mean))


def repo_em(z: Tensor, noise: NoiseParameters) -> Tensor:
    """RE-PO's M-step loss: L = w l(z) + (1 - w) l(-z), l = -log s, w = `noise.posterior` held fixed.

    dL/dz = s(z) - w: -w as z -> -inf, 1 - w as z -> +inf; a record that the E-step disbelieves pulls the other way.

    Without a posterior the E-step is made at z itself, with h = `noise.held_rate`, and the loss is the free energy

        L = w l(z) + (1 - w) l(-z) + KL(w || h) = -log[h s(z) + (1 - h) s(-z)],

    whose gradient is that of the M-step loss at this w, and whose value belongs to that gradient, as a line search
    needs. It then equals `forward_corrected` with e = 1 - h, which is what the iteration converges to.
    """
    if noise.posterior is None:
        return -log_mixed_probability(z, 1.0 - like(noise.held_rate, z))
    w = noise.posterior.detach().to(z)
    return -w * F.logsigmoid(z) - (1.0 - w) * F.logsigmoid(-z)
