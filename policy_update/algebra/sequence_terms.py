"""Policy terms whose ratio belongs to the whole answer. Shapes as in `policy_terms`, and `mask` (N, T); each returns
(N, T), the same for every token of an answer unless said otherwise: aggregate by `sequence_mean`."""

import torch
from torch import Tensor


def mean_log_ratio(new: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """mean over an answer's tokens of log pi - log pi_old, (N, 1)."""
    return ((new - old) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp_min(1)


def sequence_clipped(
    new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, clip_low: float = 0.2, clip_high: float = 0.2
) -> Tensor:
    """-min(rho A, clip(rho) A), rho = prod_t pi / pi_old: the answer is one action (RLOO, arXiv 2402.14740, as TRL
    clips it; GSPO takes the mean instead of the sum of log-ratios)."""
    ratio = ((new - old) * mask).sum(1, keepdim=True).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)


def geometric_clipped(
    new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, clip_low: float = 3e-4, clip_high: float = 4e-4
) -> Tensor:
    """GSPO (arXiv 2507.18071): -min(s A, clip(s) A), s = exp(mean_t log pi / pi_old)."""
    ratio = mean_log_ratio(new, old, mask).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)


def geometric_by_token(
    new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, clip_low: float = 3e-4, clip_high: float = 4e-4
) -> Tensor:
    """GSPO-token (arXiv 2507.18071, eq. 13): s_t = sg(s) pi_t / sg(pi_t): the value of GSPO, a gradient of its own for
    each token, so that advantages may differ within an answer. What verl calls gspo."""
    ratio = (mean_log_ratio(new, old, mask).detach() + new - new.detach()).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)


def geometric_of_clipped(
    new: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    log_clip_low: float = 0.4,
    log_clip_high: float = 0.4,
) -> Tensor:
    """GMPO (arXiv 2507.20673): -A exp(mean_t of the clipped log-ratio), each token's log-ratio bounded from the side
    its advantage pushes it to. The bounds are in nats: 0.4 lets a ratio be exp(0.4), as in TRL; verl falls back to
    its clip_ratio, 0.2."""
    gap = new - old
    bounded = gap.clamp(-log_clip_low, log_clip_high)
    one_sided = torch.where(advantages > 0, torch.minimum(gap, bounded), torch.maximum(gap, bounded))
    return -mean_log_ratio(one_sided, torch.zeros_like(gap), mask).exp() * advantages
