"""Standardised features and the subspace in which heads are fitted. Pure tensors, float32 in, float64 inside."""

from dataclasses import dataclass

import torch
from torch import Tensor

from infra.contracts import PlauditError

_SMALLEST_SPREAD = 1e-4
"""A feature that varies less than this (in the backbone's units) carries rounding, not information."""


class InvalidFeatures(PlauditError):
    """Features with NaN or infinities, or none at all."""

    code = "invalid_features"


@dataclass(frozen=True)
class Standardizer:
    """z-scores divided by sqrt(D), so that |x|^2 is about 1 whatever D is, and one penalty grid fits every backbone.

    `mean` and `spread` are [D], float32, measured on the training answers.
    """

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Standardizer":
        """Measured on `features` [N, D], N >= 1. Raises InvalidFeatures."""
        rows = features.double()
        broken = int((~torch.isfinite(rows).all(1)).sum())
        if broken or not len(rows):
            raise InvalidFeatures(
                f"features of {broken} of {len(rows)} answers are not finite: the backbone overflows; set model.dtype "
                "to float32, or read lower layers (reward_model.layers)"
            )
        spread = rows.std(0, correction=0).clamp_min(_SMALLEST_SPREAD)
        return cls(rows.mean(0).float(), spread.float())

    def apply(self, features: Tensor) -> Tensor:
        """x = (features - mean) / (spread sqrt(D)), [N, D] float32."""
        scaled: Tensor = (features.float() - self.mean) / (self.spread * float(self.mean.shape[0]) ** 0.5)
        return scaled


def principal_basis(rows: Tensor, components: int) -> Tensor:
    """An orthonormal basis [D, R] of the leading principal directions of `rows` [N, D], R <= min(N, D, components).

    A linear head with an L2 penalty never leaves the span of its data, and hardly uses directions along which the data
    barely vary: fitting there gives the same head in a fraction of the time. The mean is not subtracted.
    """
    wide = rows.double()
    count, dimension = wide.shape
    gram = wide @ wide.T if count <= dimension else wide.T @ wide
    values, vectors = torch.linalg.eigh(gram)
    keep = values > values[-1].clamp_min(1e-30) * 1e-10
    keep[: max(0, len(values) - components)] = False
    vectors, values = vectors[:, keep], values[keep]
    basis: Tensor = wide.T @ vectors / values.sqrt() if count <= dimension else vectors
    return basis
