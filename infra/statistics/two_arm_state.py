"""The exact two-arm e-process a person at a time: the sums of the closed blocks and the values of the open one."""

import math
import struct
from dataclasses import dataclass, field

import numpy as np

from infra.statistics.e_process import Design, Past, bettors
from infra.statistics.two_arm import InvalidStatisticsInput, log_block_factors

_HEAD = struct.Struct("<qq6d")


@dataclass
class TwoArmState:
    """What `excess_e_process` would have come to, kept up to date by `update`, in constant memory.

    `log_e`, `highest`: nats, after the newest closed block; `people`: counted in closed blocks. Design and margin are
    not stored with `pack`: they belong to the experiment's frozen rules.
    """

    design: Design
    margin: float = 0.0
    log_e: float = 0.0
    highest: float = 0.0
    phase: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    """People and sum of values of arm a, then of arm b, in closed blocks."""
    log_wealth: list[float] = field(default_factory=list)
    open_block: list[tuple[bool, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.log_wealth:
            start = bettors(self._past(), self.design, self.margin)
            self.log_wealth = [math.log(weight) for weight, _a, _b in start]

    @property
    def people(self) -> int:
        """People in closed blocks."""
        return int(self.sums[0] + self.sums[2])

    def update(
        self,
        in_a: bool,
        value: float,
        phase: int = 0,
        propensity: float = 0.5,
        covariate: float | None = None,
        denominator: float = 1.0,
    ) -> float:
        """Count one more person and return the e-process, nats. A change of `phase` closes the block before. The test
        conditions on the arms: propensity and covariate are not used, and denominators other than 1 are refused."""
        if not 0 <= value <= 1:
            raise InvalidStatisticsInput(f"values of people must lie in [0, 1], got {value}", field="values")
        if denominator != 1:
            raise InvalidStatisticsInput("ratios need the test that bets on scores", field="denominator")
        if self.open_block and phase != self.phase:
            self._close()
        self.phase = phase
        self.open_block.append((bool(in_a), float(value)))
        if len(self.open_block) == self.design.block_people:
            self._close()
        return self.log_e

    def _past(self) -> Past:
        n_a, k_a, n_b, k_b = (np.array([amount]) for amount in self.sums)
        return n_a, k_a, n_b, k_b

    def _close(self) -> None:
        in_a = np.array([arm for arm, _value in self.open_block])
        values = np.array([value for _arm, value in self.open_block])
        block = np.zeros(len(values), dtype=np.int64)
        for k, (_weight, rate_a, rate_b) in enumerate(bettors(self._past(), self.design, self.margin)):
            self.log_wealth[k] += float(log_block_factors(in_a, values, block, rate_a, rate_b, self.margin)[0])
        new = (float(in_a.sum()), float(values[in_a].sum()), float((~in_a).sum()), float(values[~in_a].sum()))
        self.sums = [old + amount for old, amount in zip(self.sums, new, strict=True)]
        self.open_block = []
        self.log_e = float(np.logaddexp.reduce(self.log_wealth))
        self.highest = max(self.highest, self.log_e)

    def pack(self) -> bytes:
        """The state as bytes, exactly; 8 bytes for every bettor and every person of the open block."""
        head = _HEAD.pack(self.phase, len(self.log_wealth), self.log_e, self.highest, *self.sums)
        # The sign bit tells the arms apart: values are at least 0, and -0.0 keeps its sign.
        block = [value if arm else -value for arm, value in self.open_block]
        return head + struct.pack(f"<{len(self.log_wealth) + len(block)}d", *self.log_wealth, *block)

    @classmethod
    def unpack(cls, packed: bytes, design: Design, margin: float = 0.0) -> "TwoArmState":
        """The state that was packed, under the same design and margin."""
        phase, count, log_e, highest, *sums = _HEAD.unpack_from(packed)
        rest = struct.unpack_from(f"<{(len(packed) - _HEAD.size) // 8}d", packed, _HEAD.size)
        block = [(math.copysign(1.0, value) > 0, abs(value)) for value in rest[count:]]
        state = cls(design, margin, log_e, highest, phase, list(sums), list(rest[:count]), block)
        if count != len(cls(design, margin).log_wealth):
            raise InvalidStatisticsInput("the packed state belongs to another design", field="packed")
        return state

    def restored(self, packed: bytes) -> "TwoArmState":
        """As `unpack`, under this one's design and margin."""
        return TwoArmState.unpack(packed, self.design, self.margin)
