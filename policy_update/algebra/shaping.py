"""What happens to the rewards before they are compared: penalties by length, selection, KL as a reward.

A penalty becomes an objective of its own with a weight, so that whatever scalarisation follows treats it like the rest:
with one objective and `sum_then`, it is the paper's r + penalty.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Shaped:
    """Rewards on their way to advantages. `rewards` (P, G, K), NaN = missing; `weights`, `noise` (K,); `greedy` (P, K),
    the rewards of each prompt's greedy answer, or None."""

    names: tuple[str, ...]
    rewards: Tensor
    weights: Tensor
    noise: Tensor
    greedy: Tensor | None = None
