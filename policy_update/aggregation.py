"""A loss per token (N, T) -> one number. `mask` (N, T) is 1 on real tokens.

`total` is the count over the whole optimiser step, so that splitting a batch into micro-batches changes nothing.
"""

from torch import Tensor


def token_mean(loss: Tensor, mask: Tensor, total: float) -> Tensor:
    """Every token of the step weighs the same (DAPO, arXiv 2503.14476). `total`: tokens of the step."""
    return (loss * mask).sum() / max(total, 1.0)


def sequence_mean(loss: Tensor, mask: Tensor, total: float) -> Tensor:
    """Mean over each answer's tokens, then over answers (GRPO, arXiv 2402.03300). `total`: answers of the step."""
    return ((loss * mask).sum(1) / mask.sum(1).clamp_min(1)).sum() / max(total, 1.0)
