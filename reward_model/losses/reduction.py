"""From margins to one number: rows checked, soft labels and required margins applied, the weighted mean taken. Pure."""

from collections.abc import Sequence

import torch
from torch import Tensor

from reward_model.losses.parameters import InvalidLoss, NoiseParameters
from reward_model.losses.registry import graded_loss


class InvalidMargin(InvalidLoss):
    """A margin, weight, soft label or required margin that no loss can be taken of; the row is named."""

    code = "invalid_margin"


def check_margins(z: Tensor, rows: Sequence[str] | None = None, *, field: str = "margins") -> None:
    """Raise InvalidMargin unless every element of z is finite, naming the first row that is not (and its name in
    `rows`, one a row, where given)."""
    wrong = ~torch.isfinite(z)
    if bool(wrong.any()):
        row = int(wrong.reshape(len(wrong), -1).any(1).nonzero()[0]) if z.dim() else 0
        _refuse(field, row, z[row] if z.dim() else z, "finite", rows, "look for NaN or infinite features or scores")


def check_weights(weights: Tensor, rows: Sequence[str] | None = None) -> None:
    """Raise InvalidMargin unless every weight is finite and at least 0, naming the first row that is not."""
    wrong = ~(torch.isfinite(weights) & (weights >= 0.0))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        _refuse("weights", row, weights[row], "finite and at least 0", rows, "look at what made the weights")


def check_soft(soft: Tensor, rows: Sequence[str] | None = None) -> None:
    """Raise InvalidMargin unless every soft label is in [0, 1], naming the first row that is not."""
    wrong = ~((soft >= 0.0) & (soft <= 1.0))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        _refuse("soft", row, soft[row], "in [0, 1]", rows, "it is the probability that the first answer is preferred")


def mean_loss(
    z: Tensor,
    weights: Tensor,
    loss: str = "bt",
    noise: NoiseParameters | None = None,
    *,
    soft: Tensor | None = None,
    margins: Tensor | None = None,
    rows: Sequence[str] | None = None,
) -> Tensor:
    """sum_i v_i L_i / sum_i v_i over M pairs: a scalar that keeps its graph; 0 for no pairs or no weight at all.

    z [M] = u(first) - u(second); weights v [M] >= 0; `loss` a name in LOSSES; soft [M] in [0, 1] and margins [M] as in
    `graded_loss`; rows: M names for messages. Raises InvalidMargin, naming the row, for a z or margin that is not
    finite, a wrong weight or soft label, and for shapes that differ; InvalidLoss for an unknown loss.
    """
    for field, column in (("weights", weights), ("soft", soft), ("margins", margins)):
        if column is not None and column.shape != z.shape:
            raise InvalidMargin(
                f"{field} has shape {tuple(column.shape)}, the margins z {tuple(z.shape)}; give one value a pair",
                field=field,
            )
    check_margins(z, rows)
    check_weights(weights, rows)
    if soft is not None:
        check_soft(soft, rows)
    if margins is not None:
        check_margins(margins, rows, field="required margins")
    each = graded_loss(loss)(z, noise or NoiseParameters(), soft, margins)
    total = weights.sum()
    return (weights * each).sum() / torch.where(total > 0.0, total, torch.ones_like(total))


def _refuse(field: str, row: int, value: Tensor, wanted: str, rows: Sequence[str] | None, remedy: str) -> None:
    name = f"{row} ({rows[row]})" if rows is not None else str(row)
    shown = float(value) if value.numel() == 1 else value.tolist()
    raise InvalidMargin(f"{field}: row {name} is {shown}; it must be {wanted}: {remedy}", field=field)
