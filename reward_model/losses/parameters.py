"""What a pair loss may know besides the margin, validated; and the error that names what is out of range."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from infra.contracts import PlauditError


class InvalidLoss(PlauditError):
    """A loss, a parameter of one, or a row given to one, that cannot be used."""

    code = "invalid_loss"
    status = 400


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """What `vrpo` knows from an older model: its preference probabilities, and which rows carry a recorded preference.

    `probabilities` g, shape of z: in [0, 1], the older model's probability of the order z is taken in.
    `observed`, shape of z, bool: True where that order was recorded as preferred, False for reference pairs, whose
    answers were sampled from the serving policy and judged by nobody.
    """

    probabilities: Tensor
    observed: Tensor

    def __post_init__(self) -> None:
        _within("auxiliary.probabilities", self.probabilities, 0.0, 1.0)
        if self.observed.dtype != torch.bool or self.observed.shape != self.probabilities.shape:
            raise InvalidLoss(
                f"auxiliary.observed is {self.observed.dtype} {tuple(self.observed.shape)}; it must be bool of the "
                f"shape of the probabilities, {tuple(self.probabilities.shape)}",
                field="auxiliary",
            )
        if self.observed.numel() and bool(self.observed.all()):
            raise InvalidLoss(
                "auxiliary.observed has no reference pair (False): without one nothing holds the recorded term, "
                "which is linear; add pairs of answers sampled from the serving policy",
                field="auxiliary",
            )


@dataclass(frozen=True, eq=False)
class NoiseParameters:
    """What a robust loss knows about the labels; each loss reads its own fields and ignores the others.

    flip_rate    e in [0, 0.5): probability that a record is flipped; a float, or a tensor broadcastable to the margins
                 (one rate per row, source or person)
    threshold    t > 1: `huber_bt` and `phuber` turn linear in the probability where it is at most 1/t
    exponent     q in (0, 1] of `gce`: 1 is the symmetric `sigmoid`, q -> 0 is `bt`
    ropo_alpha   a > 0 of `ropo`: how much of it is the symmetric part
    huber_delta  d > 0 of `huber_of_loss`: the loss, in nats, above which it grows linearly
    tie_ratio    theta > 1 of `rao_kupper`: how many times better one answer must be for half of the people to say so
    reliability  h in [0, 1] of `repo_em`, a float or a tensor like `flip_rate`: share of a source's records that hold;
                 below 1/2 the source says the contrary of what it thinks. None: 1 - flip_rate
    posterior    w in [0, 1], shape of z, of `repo_em`: the E-step's probability that each record holds; None: made at z
    auxiliary    for `vrpo`
    """

    flip_rate: float | Tensor = 0.0
    threshold: float = 100.0
    exponent: float = 0.7
    ropo_alpha: float = 14.0
    huber_delta: float = 1.0
    tie_ratio: float = 1.5
    reliability: float | Tensor | None = None
    posterior: Tensor | None = None
    auxiliary: Auxiliary | None = None

    def __post_init__(self) -> None:
        _within("flip_rate", self.flip_rate, 0.0, 0.5, open_above=True)
        for field in ("reliability", "posterior"):
            value = getattr(self, field)
            if value is not None:
                _within(field, value, 0.0, 1.0)
        for field, least in (("threshold", 1.0), ("tie_ratio", 1.0), ("ropo_alpha", 0.0), ("huber_delta", 0.0)):
            value = getattr(self, field)
            if not least < value < float("inf"):
                raise InvalidLoss(f"{field} is {value}; it must be finite and above {least:g}", field=field)
        if not 0.0 < self.exponent <= 1.0:
            raise InvalidLoss(f"exponent is {self.exponent}; it must be in (0, 1]", field="exponent")

    @property
    def held_rate(self) -> float | Tensor:
        """h, the probability that a record holds: `reliability`, or 1 - e where none is given."""
        return 1.0 - self.flip_rate if self.reliability is None else self.reliability

    @property
    def one_flip_rate(self) -> float:
        """The flip rate as one number. Raises InvalidLoss when there is one a row."""
        if isinstance(self.flip_rate, Tensor):
            if self.flip_rate.numel() != 1:
                raise InvalidLoss(
                    f"flip_rate has {self.flip_rate.numel()} values where one is needed; give a number",
                    field="flip_rate",
                )
            return float(self.flip_rate)
        return self.flip_rate


PairLoss = Callable[[Tensor, NoiseParameters], Tensor]
"""(margins z, what is known) -> the loss of each element, nats unless its docstring says otherwise."""


def like(value: float | Tensor, z: Tensor) -> float | Tensor:
    """A number as it is; a tensor with the dtype and device of z, so that z's own are kept."""
    return value.to(z) if isinstance(value, Tensor) else value


def _within(field: str, value: float | Tensor, low: float, high: float, *, open_above: bool = False) -> None:
    """Raise InvalidLoss unless low <= value <= high (value < high when `open_above`); a tensor's first wrong row is
    named."""
    span = f"[{low:g}, {high:g}{')' if open_above else ']'}"
    if not isinstance(value, Tensor):
        if not (low <= value < high or (value == high and not open_above)):
            raise InvalidLoss(f"{field} is {value}; it must be in {span}", field=field)
        return
    right = (value >= low) & ((value < high) if open_above else (value <= high))
    if not bool(right.all()):
        row = int((~right).reshape(-1).nonzero()[0])
        raise InvalidLoss(f"{field} is {float(value.reshape(-1)[row])} in row {row}; it must be in {span}", field=field)
