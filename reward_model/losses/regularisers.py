"""Penalties that say where zero is: preferences fix only differences of utilities, these pin their level. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from reward_model.losses.parameters import InvalidLoss

Regulariser = Callable[[Tensor, Tensor, float], Tensor]
"""(utilities [M] of the preferred answers, [M] of the others, strength c >= 0) -> a scalar to add to the mean loss."""

CENTRING_STRENGTH = 1e-2
"""Usual c of `centring`: 2312.09244 and the documentation of TRL."""
BATCH_SUM_STRENGTH = 1e-3
"""Usual c of `batch_sum`: 2505.07271."""


def centring(preferred: Tensor, other: Tensor, strength: float) -> Tensor:
    """c mean_i (r_w + r_l)^2: each pair's utilities sum to nearly zero (Eisenstein et al., 2312.09244).

    0 for no pairs. d/dr_w = d/dr_l = 2c (r_w + r_l) / M: without bound.
    """
    return strength * (preferred + other).square().sum() / max(preferred.numel(), 1)


def batch_sum(preferred: Tensor, other: Tensor, strength: float) -> Tensor:
    """c B m^2, m the mean of all 2B utilities of the batch: their sum is nearly zero (Hong et al., 2505.07271).

    Weaker than `centring`: pairs may stand high or low as long as the batch balances. 0 for no pairs.
    d/dr = c m for every utility: the same for all, and so only the level moves.
    """
    pairs = max(preferred.numel(), 1)
    return strength * pairs * ((preferred.sum() + other.sum()) / (2 * pairs)).square()


REGULARISERS: Mapping[str, Regulariser] = MappingProxyType({"batch_sum": batch_sum, "centring": centring})
"""Penalties on the level of utilities, by name."""


def regulariser(name: str) -> Regulariser:
    """The penalty called `name`. Raises InvalidLoss, naming the known ones."""
    try:
        return REGULARISERS[name]
    except KeyError:
        raise InvalidLoss(
            f"no regulariser is called {name!r}; known: {', '.join(sorted(REGULARISERS))}", field="regulariser"
        ) from None
