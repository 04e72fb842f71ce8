"""Which tokens take part in the policy term: `mask` (N, T) -> (N, T) boolean."""

from torch import Tensor


def every_token(mask: Tensor) -> Tensor:
    """All real tokens."""
    return mask.bool()


def untruncated(mask: Tensor, truncated: Tensor) -> Tensor:
    """Only tokens of answers that ended by themselves: the limit, not the answer, made the others what they are
    (overlong filtering, DAPO, arXiv 2503.14476, section 3.4). `truncated` (N,)."""
    return mask.bool() & ~truncated.bool()[:, None]
