"""Self-certainty (arXiv 2505.19590): how far next-token distributions are from uniform. A feature, no reward."""

from torch import Tensor

REFUSAL = (
    "self_certainty is no reward: a policy paid for its own certainty sharpens what it says already, right or wrong "
    "(arXiv 2505.19590 and what followed). Set policy_update.rewards.self_certainty = true to log it as a feature, and "
    "weigh a reward that looks at the answer instead"
)


def self_certainty(hidden: Tensor, head: Tensor, ids: Tensor, logprobs: Tensor, mask: Tensor) -> Tensor:
    """Mean over an answer's tokens of u_t = logsumexp(z_t) - mean_v z_tv = KL(uniform || p_t) - log V, nats, (N,).

    `hidden` (N, T, H) that predict each token, `head` (V, H), `ids`, `logprobs`, `mask` (N, T) at temperature 1. No row
    of logits is made: logsumexp(z_t) = z_t[y_t] - log p(y_t), and mean_v z_tv = h_t . mean_v W_v.
    """
    chosen = (hidden.float() * head[ids].float()).sum(-1)
    average = hidden.float() @ head.float().mean(0)
    certainty = (chosen - logprobs.float() - average) * mask
    return certainty.sum(1) / mask.sum(1).clamp_min(1)
