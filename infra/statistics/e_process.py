"""Two-arm e-processes over a stream of people, valid at every look, at any ramp and under a drifting base rate.

An e-process is a non-negative process whose mean, under the null, is at most 1 at every stopping time. By Ville's
inequality it ever reaches 1 / alpha with probability at most alpha, however often and whenever it is looked at.

Blocks. People come in a fixed order (by the instant their value was frozen). A block is the next `block_people` people
of one phase of the ramp; a change of phase closes it early, so phases are never pooled. Sizes depend on who came and
on the coin that assigned them, never on outcomes, so conditioning on them is free and every block's factor is an
e-variable given the past. The open block at the end counts only once it is full. Within a block the base rate is taken
as steady; between blocks it may move at will. In a block of n people with even arms, 1 / n of the information is lost
to not knowing the base rate.

Betting. Each block bets on rates predicted from earlier blocks alone. Several bettors play side by side: one for each
`lift` (the pooled past rate, split so that a = (1 + lift) b), and a plug-in bettor who follows the past rates of both
arms. Their wealths are averaged: an average of e-processes is an e-process.
"""

from dataclasses import dataclass

import numpy as np

from infra.statistics.two_arm import (
    BoolArray,
    FloatArray,
    IntArray,
    InvalidStatisticsInput,
    log_block_factors,
    sums_by_block,
)

PRIOR_PEOPLE = 1.0
"""Pseudo-people of the pooled past rate."""
SHRINKAGE_PEOPLE = 4.0
"""Pseudo-people by which the plug-in bettor draws each arm's rate towards the pooled rate."""


@dataclass(frozen=True)
class Design:
    """What the bettors expect. `lifts` are relative (0.2: one fifth more) or, unless `relative`, absolute differences;
    positive, smallest first. What the plug-in leaves of the wealth is shared out by `weights`, evenly by default."""

    lifts: tuple[float, ...] = (0.1,)
    plug_in_weight: float = 0.5
    block_people: int = 10
    weights: tuple[float, ...] | None = None
    relative: bool = True

    def __post_init__(self) -> None:
        if not self.lifts or min(self.lifts) <= 0:
            raise InvalidStatisticsInput(f"lifts must be positive, got {self.lifts}", field="lifts")
        if not 0 < self.plug_in_weight < 1:
            raise InvalidStatisticsInput(
                f"plug_in_weight must lie strictly between 0 and 1, got {self.plug_in_weight}", field="plug_in_weight"
            )
        if self.block_people < 2:
            raise InvalidStatisticsInput(
                f"a block needs people of both arms: block_people must be 2 or more, got {self.block_people}",
                field="block_people",
            )
        if self.weights is not None and (len(self.weights) != len(self.lifts) or min(self.weights) <= 0):
            raise InvalidStatisticsInput("need one positive weight for every lift", field="weights")

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the wealth of every lift's bettor; with the plug-in's they sum to 1."""
        weights = self.weights or (1.0,) * len(self.lifts)
        return tuple((1 - self.plug_in_weight) * weight / sum(weights) for weight in weights)


@dataclass(frozen=True)
class EProcess:
    """`log_e[k]`: logarithm (nats) of the e-process when `people[k]` people had been counted, one entry a closed
    block, beginning with 0 at 0 people."""

    log_e: FloatArray
    people: IntArray

    @property
    def last(self) -> float:
        """The value now, nats."""
        return float(self.log_e[-1])

    @property
    def highest(self) -> float:
        """The highest value so far, nats: what Ville's inequality bounds."""
        return float(self.log_e.max())


def block_ids(phase: IntArray, block_people: int) -> IntArray:
    """Block of every person, 0.. in order, and -1 for people of the last, still open block."""
    n = phase.shape[0]
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate(([True], phase[1:] != phase[:-1])))
    lengths = np.concatenate((starts[1:], [n])) - starts
    per_run = -(-lengths // block_people)
    first = np.cumsum(per_run) - per_run
    run = np.repeat(np.arange(starts.shape[0]), lengths)
    ids = first[run] + (np.arange(n) - starts[run]) // block_people
    if lengths[-1] % block_people:
        ids[ids == ids[-1]] = -1
    return np.asarray(ids, dtype=np.int64)


def excess_e_process(
    in_a: BoolArray, values: FloatArray, phase: IntArray, design: Design, margin: float = 0.0
) -> EProcess:
    """The e-process against "arm a is not above arm b by more than `margin`" (p_a <= p_b + margin).

    One entry a person, in fixed order: `in_a`, `values` in [0, 1], `phase`. Superiority of the challenger: a =
    challenger, margin 0. Harm done by it: a = control, margin 0. Non-inferiority by delta: a = challenger, margin
    -delta, a null of its own, with a bettor who expects no difference. For a metric where less is better, exchange
    the arms. Raises InvalidStatisticsInput on values outside [0, 1] (NaN included).
    """
    if values.size and not bool(np.all((values >= 0) & (values <= 1))):
        raise InvalidStatisticsInput("values of people must lie in [0, 1]; drop missing ones first", field="values")
    ids = block_ids(phase, design.block_people)
    closed = ids >= 0
    block, in_a, values = ids[closed], in_a[closed], values[closed]
    blocks = int(block[-1]) + 1 if block.size else 0
    if not blocks:
        return EProcess(np.zeros(1), np.zeros(1, dtype=np.int64))
    past = (
        _past(sums_by_block(block, in_a, blocks)),
        _past(sums_by_block(block, in_a * values, blocks)),
        _past(sums_by_block(block, ~in_a, blocks)),
        _past(sums_by_block(block, ~in_a * values, blocks)),
    )
    paths = [
        np.log(weight) + np.cumsum(log_block_factors(in_a, values, block, rate_a, rate_b, margin))
        for weight, rate_a, rate_b in bettors(past, design, margin)
    ]
    people = np.cumsum(np.bincount(block, minlength=blocks))
    return EProcess(
        np.concatenate(([0.0], np.logaddexp.reduce(np.stack(paths), axis=0))), np.concatenate(([0], people))
    )


Past = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""People of arm a, sum of their values, people of arm b, sum of theirs: over all earlier blocks, an entry a block."""


def bettors(past: Past, design: Design, margin: float) -> list[tuple[float, FloatArray, FloatArray]]:
    """(weight, rate_a, rate_b) of every bettor on a block, from earlier blocks; arrays of any one shape."""
    n_a, k_a, n_b, k_b = past
    pooled = (k_a + k_b + 0.5 * PRIOR_PEOPLE) / (n_a + n_b + PRIOR_PEOPLE)
    # Before the first block there is nothing to bet on.
    known = (n_a + n_b) > 0
    plug_a = np.where(known, (k_a + SHRINKAGE_PEOPLE * pooled) / (n_a + SHRINKAGE_PEOPLE), pooled)
    plug_b = np.where(known, (k_b + SHRINKAGE_PEOPLE * pooled) / (n_b + SHRINKAGE_PEOPLE), pooled)
    found = [(design.plug_in_weight, plug_a, plug_b)]
    if margin < 0:
        return [*found, (1 - design.plug_in_weight, pooled, pooled)]
    for share, lift in zip(design.shares, design.lifts, strict=True):
        # The mean of the two rates is the pooled rate.
        half = lift / 2 if not design.relative else pooled * lift / (2 + lift)
        low, high = np.maximum(pooled - half, 0.0), np.minimum(pooled + half, 1.0)
        found.append((share, np.where(known, high, pooled), np.where(known, low, pooled)))
    return found


def _past(sums: FloatArray) -> FloatArray:
    """Sum over all earlier blocks, one entry a block."""
    return np.concatenate(([0.0], np.cumsum(sums)[:-1]))
