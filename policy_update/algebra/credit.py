"""An advantage an answer -> one a token: who gets the credit. `sequence` (N,); results (N, T), 0 at padding."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Credit:
    """`advantages` (N, T); `returns` (N, T), what a critic should have said, where there is one."""

    advantages: Tensor
    returns: Tensor | None = None


def uniform(sequence: Tensor, mask: Tensor) -> Credit:
    """Every token of an answer gets the answer's advantage."""
    return Credit(sequence[:, None] * mask)
