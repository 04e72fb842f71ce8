"""The betting e-process a person at a time: constant time and memory, and a few hundred bytes to store."""

import math
import struct
from dataclasses import dataclass, field

import numpy as np

from infra.statistics.betting import (
    LARGEST_LOSS,
    PRIOR_DENOMINATOR,
    PRIOR_VALUE,
    PRIOR_VARIANCE_PEOPLE,
    SLOPE_PEOPLE,
    BettingDesign,
    designed_effects,
    effect_unit,
)
from infra.statistics.two_arm import InvalidStatisticsInput

_SUMS = (
    "people", "value", "denominator", "squares", "score", "covariates", "x", "z", "xx", "xz",
)  # fmt: skip
"""Sums over all people so far, in the order in which they are stored."""


@dataclass
class BettingState:
    """What `betting_e_process` would have come to, kept up to date by `update`.

    `log_e`, `highest`: nats, after the newest person. Design and margin are not stored with `pack`: they belong to the
    experiment's frozen rules.
    """

    design: BettingDesign
    margin: float = 0.0
    log_e: float = 0.0
    highest: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0.0))
    log_wealth: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.log_wealth:
            self.log_wealth = [math.log(weight) for weight in self._weights()]

    @property
    def people(self) -> int:
        """People counted so far."""
        return int(self.sums["people"])

    def update(
        self,
        in_a: bool,
        value: float,
        phase: int = 0,
        propensity: float = 0.5,
        covariate: float | None = None,
        denominator: float = 1.0,
    ) -> float:
        """Count one more person and return the e-process, nats. `propensity`: of arm a, at this person's assignment;
        it is all that a phase means here (`phase` itself is not used). Raises InvalidStatisticsInput as `scores`."""
        if not 0 <= value <= denominator <= 1:
            raise InvalidStatisticsInput(
                f"need 0 <= value <= denominator <= 1, got {value} and {denominator}", field="values"
            )
        if not 0 < propensity < 1:
            raise InvalidStatisticsInput(f"propensity must lie in (0, 1), got {propensity}", field="propensity")
        s = self.sums
        ratio = (s["value"] + PRIOR_VALUE) / (s["denominator"] + PRIOR_DENOMINATOR)
        known = covariate is not None and math.isfinite(covariate)
        x = float(covariate) if known and covariate is not None else 0.0
        plain = value - ratio * denominator
        shift = self._shift(x, ratio) if known else 0.0
        raw = (plain - shift) * (1 / propensity if in_a else -1 / (1 - propensity))
        if s["people"] > 0:
            self._bet(raw, denominator, ratio, ratio + shift, propensity)
        self._add(value, denominator, plain, plain - shift, raw, x, known)
        return self.log_e

    def _shift(self, x: float, ratio: float) -> float:
        s = self.sums
        n = s["covariates"]
        n1 = max(n, 1.0)
        spread = s["xx"] - s["x"] ** 2 / n1
        if spread <= 1e-9:
            return 0.0
        slope = (s["xz"] - s["x"] * s["z"] / n1) / spread * n / (n + SLOPE_PEOPLE)
        return min(max(ratio + slope * (x - s["x"] / n1), 0.0), 1.0) - ratio

    def _bet(self, raw: float, denominator: float, ratio: float, expected: float, propensity: float) -> None:
        s, margin = self.sums, self.margin
        most = PRIOR_VARIANCE_PEOPLE * expected * (1 - expected)
        inverse_a, inverse_b = 1 / propensity, 1 / (1 - propensity)
        spread = (s["squares"] + most) / (s["people"] + PRIOR_VARIANCE_PEOPLE) * (inverse_a + inverse_b)
        limit = LARGEST_LOSS / (max(expected * inverse_a, (1 - expected) * inverse_b) + max(margin, 0.0))
        size = (s["denominator"] + 1) / (s["people"] + 1)
        null, score = margin * size, raw - margin * denominator
        unit = effect_unit(self.design, ratio) * size
        effects = [effect * unit for _weight, effect in designed_effects(self.design, margin)]
        prior_people = spread / (effects[0] - null) ** 2
        effects.append((s["score"] + prior_people * effects[0]) / (s["people"] + prior_people))
        for k, effect in enumerate(effects):
            second_moment = max(spread + null * null - 2 * null * effect, 1e-12) if margin else spread
            stake = min(max((effect - null) / second_moment, 0.0), limit)
            self.log_wealth[k] += math.log1p(stake * score)
        self.log_e = float(np.logaddexp.reduce(self.log_wealth))
        self.highest = max(self.highest, self.log_e)

    def _weights(self) -> list[float]:
        designed = [weight for weight, _effect in designed_effects(self.design, self.margin)]
        return [*designed, 1 - sum(designed)]

    def _add(
        self, value: float, denominator: float, plain: float, residual: float, raw: float, x: float, known: bool
    ) -> None:
        s = self.sums
        new = (1.0, value, denominator, residual**2, raw, float(known), x, plain if known else 0.0, x * x, x * plain)
        for name, amount in zip(_SUMS, new, strict=True):
            s[name] += amount

    def pack(self) -> bytes:
        """The state as bytes, exactly."""
        numbers = [self.log_e, self.highest, *self.sums.values(), *self.log_wealth]
        return struct.pack(f"<{len(numbers)}d", *numbers)

    @classmethod
    def unpack(cls, packed: bytes, design: BettingDesign, margin: float = 0.0) -> "BettingState":
        """The state that was packed, under the same design and margin."""
        numbers = struct.unpack(f"<{len(packed) // 8}d", packed)
        sums = dict(zip(_SUMS, numbers[2 : 2 + len(_SUMS)], strict=True))
        state = cls(design, margin, numbers[0], numbers[1], sums, list(numbers[2 + len(_SUMS) :]))
        if len(state.log_wealth) != len(state._weights()):
            raise InvalidStatisticsInput("the packed state belongs to another design", field="packed")
        return state

    def restored(self, packed: bytes) -> "BettingState":
        """As `unpack`, under this one's design and margin."""
        return BettingState.unpack(packed, self.design, self.margin)
