"""Pair losses by name, and what a soft label or a required margin does to each. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from reward_model.losses.bounded import gce, huber_of_loss, modified_huber, ropo, sigmoid, truncated_hinge
from reward_model.losses.em import repo_em
from reward_model.losses.logistic import bt, label_smoothed, rdpo
from reward_model.losses.mixed import forward_corrected, huber_bt, phuber
from reward_model.losses.parameters import InvalidLoss, NoiseParameters, PairLoss
from reward_model.losses.ties import rao_kupper, rao_kupper_graded
from reward_model.losses.variance_reduced import vrpo

LOSSES: Mapping[str, PairLoss] = MappingProxyType(
    {
        "bt": bt,
        "forward_corrected": forward_corrected,
        "gce": gce,
        "huber_bt": huber_bt,
        "huber_of_loss": huber_of_loss,
        "label_smoothed": label_smoothed,
        "modified_huber": modified_huber,
        "phuber": phuber,
        "rao_kupper": rao_kupper,
        "rdpo": rdpo,
        "repo_em": repo_em,
        "ropo": ropo,
        "sigmoid": sigmoid,
        "truncated_hinge": truncated_hinge,
        "vrpo": vrpo,
    }
)
"""Losses of a recorded preference by name."""

GradedLoss = Callable[[Tensor, NoiseParameters, Tensor | None, Tensor | None], Tensor]
"""(z, what is known, soft labels or None, required margins or None) -> the loss of each element."""

SoftLoss = Callable[[Tensor, NoiseParameters, Tensor], Tensor]

_SOFT: Mapping[str, SoftLoss] = MappingProxyType({"rao_kupper": rao_kupper_graded})
"""Losses that read a soft label otherwise than as an expectation."""


def pair_loss(name: str) -> PairLoss:
    """The loss called `name`. Raises InvalidLoss, naming the known ones."""
    try:
        return LOSSES[name]
    except KeyError:
        raise InvalidLoss(f"no loss is called {name!r}; known: {', '.join(sorted(LOSSES))}", field="loss") from None


def graded_loss(name: str) -> GradedLoss:
    """The loss called `name` on soft labels and required margins; with neither it is `pair_loss(name)`.

    soft y in [0, 1], shape of z: the probability that the first answer is preferred; 1 a hard record, 1/2 a tie.
    margins m, shape of z: by how much the first answer must win (Llama 2's margin loss, 2307.09288); negative when the
    second must. With x = z - m:

        L = y L(x) + (1 - y) L(-x)        the expectation over the label; for `bt` the soft cross-entropy

    `rao_kupper` takes y = 1/2 for a recorded tie instead: see `ties`. Swapping the answers of a pair (z -> -z,
    y -> 1 - y, m -> -m) leaves L as it is, where flip_rate and the like are the pair's. With a `posterior` or an
    `auxiliary`, which belong to the order of the pair, only hard labels are meaningful.
    """
    function, softly = pair_loss(name), _SOFT.get(name)

    def expectation(x: Tensor, noise: NoiseParameters, soft: Tensor) -> Tensor:
        return soft * function(x, noise) + (1.0 - soft) * function(-x, noise)

    def graded(z: Tensor, noise: NoiseParameters, soft: Tensor | None, margins: Tensor | None) -> Tensor:
        x = z if margins is None else z - margins
        if soft is None:
            return function(x, noise)
        if noise.posterior is not None or noise.auxiliary is not None:
            raise InvalidLoss(
                f"{name} with a posterior or an auxiliary takes hard labels only; leave `soft` out", field="soft"
            )
        return (softly or expectation)(x, noise, soft)

    return graded
