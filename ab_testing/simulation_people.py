"""Simulated people for experiments: values of many histories at once, drawn from pools whose means are exact."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["binary", "ratio", "heavy_tailed", "clustered"]
KINDS: tuple[Kind, ...] = ("binary", "ratio", "heavy_tailed", "clustered")

POOL = 1 << 16
"""People in a pool: histories draw from it with replacement, by 16 random bits."""
ANSWERS = 10
"""Answers of a `clustered` person, all with the person's own rate."""
MOST_ANSWERS = 20
"""Cap of a `ratio` person's answers, and of a `heavy_tailed` value in units of the smallest positive one."""
TAIL = 1.2
"""Pareto exponent of a `heavy_tailed` value: without the cap its variance is infinite."""


@dataclass(frozen=True)
class Pools:
    """`values`, `denominators` (levels, 2, POOL) in [0, 1]: control, then challenger. `difference` (levels,): control's
    mean (or ratio of means) less the challenger's, to a few parts in 65,536 never less than was asked for."""

    values: NDArray[np.float64]
    denominators: NDArray[np.float64] | None
    difference: NDArray[np.float64]

    def draw(
        self, rng: np.random.Generator, in_challenger: NDArray[np.bool_], level: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Values and denominators, shaped as `in_challenger` (runs, people); `level` (people,)."""
        index = rng.integers(0, POOL, in_challenger.shape, dtype=np.uint16).astype(np.int64)
        index += in_challenger * POOL + level * (2 * POOL)
        values = self.values.reshape(-1)[index]
        return values, None if self.denominators is None else self.denominators.reshape(-1)[index]


def people(kind: Kind, rate: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """One pool of people whose outcome has about the mean `rate` in (0, 1): values and, for ratios, denominators.

    binary: 1 with probability `rate`. clustered: mean of ten answers, the person's rate Beta(rate, 1 - rate), the
    correlation of two answers 1/2. ratio: liked answers of 1 to 20, rate Beta(2 rate, 2 - 2 rate). heavy_tailed: with
    probability `rate` a Pareto value, capped.
    """
    if kind == "binary":
        return (np.arange(POOL) < round(rate * POOL)).astype(np.float64), None
    if kind == "clustered":
        return rng.binomial(ANSWERS, rng.beta(rate, 1 - rate, POOL)) / ANSWERS, None
    if kind == "ratio":
        answers = np.minimum(rng.geometric(0.2, POOL), MOST_ANSWERS)
        liked = rng.binomial(answers, rng.beta(2 * rate, 2 - 2 * rate, POOL))
        return liked / MOST_ANSWERS, answers / MOST_ANSWERS
    spent = np.minimum((1 - rng.random(POOL)) ** (-1 / TAIL), MOST_ANSWERS) / MOST_ANSWERS
    return np.where(np.arange(POOL) < round(rate * POOL), spent, 0.0), None


def without(values: NDArray[np.float64], amount: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The same people with randomly chosen ones at 0, so that the mean falls by `amount`, or a little more."""
    order = rng.permutation(POOL)
    reached = np.searchsorted(np.cumsum(values[order]), amount * POOL * (1 - 1e-12)) + 1 if amount > 0 else 0
    fallen = values.copy()
    fallen[order[:reached]] = 0.0
    return fallen


def pools(
    kind: Kind,
    rates: NDArray[np.float64],
    *,
    drop: float = 0.0,
    relative: bool = True,
    better: bool = False,
    seed: int = 0,
) -> Pools:
    """Pools for every level of the base rate, `rates`. The challenger's mean (for ratios: of the ratio) is lower than
    the control's by `drop`, a share of it or absolute; with `better` the two change places."""
    # A stream of its own: with the seed of the histories, the order of the pool and the draws from it would be one.
    rng = np.random.default_rng([seed, POOL])
    values = np.empty((len(rates), 2, POOL))
    lines = np.empty_like(values) if kind == "ratio" else None
    difference = np.empty(len(rates))
    for level, rate in enumerate(rates):
        control, line = people(kind, float(rate), rng)
        size = 1.0 if line is None else float(line.mean())
        challenger = without(control, drop * (float(control.mean()) if relative else size), rng)
        values[level] = (challenger, control) if better else (control, challenger)
        difference[level] = (values[level, 0].mean() - values[level, 1].mean()) / size
        if lines is not None and line is not None:
            lines[level] = line
    return Pools(values, lines, difference)


@dataclass(frozen=True)
class Course:
    """How an experiment of `people` counted people goes, an entry a person in order: `share` (probability of the
    challenger among the counted), `phase`, `level` of the base rate."""

    share: NDArray[np.float64]
    phase: NDArray[np.int64]
    level: NDArray[np.int64]

    @property
    def people(self) -> int:
        """Counted people."""
        return int(self.share.shape[0])


def steady(people_counted: int, share: float) -> Course:
    """One phase, one base rate."""
    n = people_counted
    return Course(np.full(n, share), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64))


def growing(people_counted: int, shares: tuple[float, ...], levels: int, *, disjoint: bool = False) -> Course:
    """Phases of equal length in time while the base rate passes through `levels` levels.

    Everybody without the challenger is control, so that as many are counted in every phase; or, `disjoint` as the
    product assigns people, the control is as large as the challenger: half of the counted, 2 share of all people.
    """
    n = people_counted
    weights = np.array(shares) if disjoint else np.ones(len(shares))
    counts = np.diff(np.round(np.concatenate(([0.0], np.cumsum(weights / weights.sum()))) * n)).astype(np.int64)
    phase = np.repeat(np.arange(len(shares)), counts)
    within = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    level = ((phase + within) / len(shares) * levels).astype(np.int64)
    return Course(np.full(n, 0.5) if disjoint else np.array(shares)[phase], phase, level)
