"""Covariates of who votes, as numbers: fitted once, kept with the model, applied one answer at a time.

Plain arithmetic on single numbers, so that an answer's propensity has the same bits whatever is computed beside it.
"""

import math
from collections.abc import Sequence

import msgspec

KNOT_QUANTILES = (0.2, 0.4, 0.6, 0.8)
MAX_ADAPTERS = 8
"""Adapters with a column of their own, the commonest first; the others share none."""


class Covariates(msgspec.Struct, frozen=True):
    """What is logged about one answer before anybody votes. `hour` in [0, 24) UTC; lengths in characters; `turn` counts
    the person's messages in the conversation, from 1; `shown` and `voted` count the person's earlier answers; `asked`
    says whether the person was asked for a vote at random."""

    device: str = "other"
    hour: float = 12.0
    characters: float = 0.0
    prompt_characters: float = 0.0
    turn: float = 1.0
    adapter: str = ""
    shown: float = 0.0
    voted: float = 0.0
    asked: bool = False


class Numeric(msgspec.Struct, frozen=True):
    """A number made ready: standardised, and bent at `knots` (in standard units)."""

    name: str
    mean: float
    scale: float
    knots: tuple[float, ...]


class FeatureSpace(msgspec.Struct, frozen=True):
    """How covariates become a vector: numbers with their knots, then one column a device and adapter."""

    numerics: tuple[Numeric, ...]
    devices: tuple[str, ...]
    adapters: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        bent = [
            f"{n.name}>{knot:.2f}" if knot is not None else n.name for n in self.numerics for knot in (None, *n.knots)
        ]
        return (*bent, *(f"device={d}" for d in self.devices), *(f"adapter={a}" for a in self.adapters), "asked")

    def vector(self, covariates: Covariates) -> list[float]:
        """The columns of one answer."""
        given, columns = numbers(covariates), []
        for numeric in self.numerics:
            x = (given[numeric.name] - numeric.mean) / numeric.scale
            columns.append(x)
            columns += [max(0.0, x - knot) for knot in numeric.knots]
        columns += [float(covariates.device == device) for device in self.devices]
        columns += [float(covariates.adapter == adapter) for adapter in self.adapters]
        columns.append(float(covariates.asked))
        return columns


def numbers(covariates: Covariates) -> dict[str, float]:
    """The numeric covariates, lengths and counts on a log scale, the hour as a point on a circle.

    `habit` is the person's rate of voting so far, (voted + 1) / (shown + 2); `known` how much there is of it.
    """
    angle = 2 * math.pi * covariates.hour / 24
    return {
        "hour_sin": math.sin(angle),
        "hour_cos": math.cos(angle),
        "length": math.log1p(covariates.characters),
        "prompt": math.log1p(covariates.prompt_characters),
        "turn": math.log(max(covariates.turn, 1.0)),
        "habit": (covariates.voted + 1) / (covariates.shown + 2),
        "known": math.log1p(covariates.shown),
    }


def fit_space(sample: Sequence[Covariates]) -> FeatureSpace:
    """Means, scales, knots at the quintiles, and the devices and adapters seen; at least one answer.

    A number that is the same everywhere has scale 1 and no knots.
    """
    import numpy as np

    table = [numbers(one) for one in sample]
    numerics = []
    for name in table[0]:
        values = np.array([row[name] for row in table])
        mean, scale = float(values.mean()), float(values.std())
        if scale < 1e-9:
            numerics.append(Numeric(name, mean, 1.0, ()))
            continue
        knots = np.unique(np.quantile((values - mean) / scale, KNOT_QUANTILES))
        numerics.append(Numeric(name, mean, scale, tuple(float(knot) for knot in knots)))
    devices = sorted({one.device for one in sample})
    seen: dict[str, int] = {}
    for one in sample:
        seen[one.adapter] = seen.get(one.adapter, 0) + 1
    adapters = sorted(seen, key=lambda adapter: (-seen[adapter], adapter))[:MAX_ADAPTERS]
    return FeatureSpace(tuple(numerics), tuple(devices), tuple(adapters))
