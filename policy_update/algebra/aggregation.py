"""A loss per token (N, T) -> one number. `mask` (N, T) is 1 on tokens that take part.

`totals` counts over the whole optimiser step, so that splitting a batch into micro-batches changes nothing.
"""

from torch import Tensor

from policy_update.algebra.experience import Totals


def token_mean(loss: Tensor, mask: Tensor, totals: Totals) -> Tensor:
    """Every token of the step weighs the same: sum / tokens (DAPO, arXiv 2503.14476)."""
    return (loss * mask).sum() / max(totals.tokens, 1.0)


def sequence_mean(loss: Tensor, mask: Tensor, totals: Totals) -> Tensor:
    """Mean over each answer's tokens, then over answers (GRPO, arXiv 2402.03300)."""
    return ((loss * mask).sum(1) / mask.sum(1).clamp_min(1)).sum() / max(totals.answers, 1.0)


def constant_length(loss: Tensor, mask: Tensor, totals: Totals) -> Tensor:
    """sum / (answers * max_tokens): no answer's own length divides anything (Dr. GRPO, arXiv 2503.20783)."""
    return (loss * mask).sum() / max(totals.answers * totals.max_tokens, 1.0)


def sequence_sum(loss: Tensor, mask: Tensor, totals: Totals) -> Tensor:
    """Sum over an answer's tokens, mean over answers: the gradient of log pi(answer), what REINFORCE and ReMax mean by
    an action (verl: seq-mean-token-sum)."""
    return (loss * mask).sum() / max(totals.answers, 1.0)
