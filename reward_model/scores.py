"""What every kind of reward model gives, and refuses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError

UTILITY = "utility"
"""Name of the head trained on preference pairs; its values are real numbers, sigmoid(difference) a probability."""


class BackboneMismatch(PlauditError):
    """The loaded base model is not the one this reward model reads."""

    code = "backbone_mismatch"
    status = 409

    @classmethod
    def between(cls, expected: str, loaded: str) -> "BackboneMismatch":
        """Of two hashes of base models."""
        return cls(
            f"this reward model reads the base model {expected[:12]}, loaded is {loaded[:12]}: train a reward model on "
            "the new base, or set model.base back",
            field="model.base",
        )


class NoHalves(PlauditError):
    """A reward model without cross-fitted halves was asked for one."""

    code = "no_halves"
    status = 409


class FeaturesMismatch(PlauditError):
    """Features that are not those a reward model was trained on."""

    code = "features_mismatch"
    status = 409


@dataclass(frozen=True)
class Scores:
    """`values` [B, K]: probabilities in [0, 1], `utility` real with mean 0 over the training answers; `uncertainty`
    [B, K]: standard deviation over the bootstrap ensemble, same units. float64; columns named by `objectives`."""

    objectives: tuple[str, ...]
    values: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
