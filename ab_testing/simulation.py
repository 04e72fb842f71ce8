"""Thousands of experiments at once, looked at after every event: how often each test decides, and how soon.

The tests are those that decide in production, with an axis of runs in front; `tests/ab_testing/test_simulation.py`
holds the two equal on a thousand histories.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ab_testing.simulation_people import Course, Pools
from infra.statistics import (
    AsymptoticDesign,
    BettingDesign,
    Design,
    asymptotic_path,
    block_counts,
    bounded_e_process,
    counts_e_process,
    gains,
    scores,
    two_arms,
    wealth,
    wilson_interval,
)

CHUNK = 30_000
"""People simulated at once over all runs: a few arrays of them stay in the processor's cache."""


@dataclass(frozen=True)
class Histories:
    """Runs (runs, people) on one course; `covariates` None where nothing is known from before."""

    course: Course
    in_challenger: NDArray[np.bool_]
    values: NDArray[np.float64]
    denominators: NDArray[np.float64] | None = None
    covariates: NDArray[np.float64] | None = None


Test = Callable[[Histories], NDArray[np.float64]]
"""People counted when the test first reached its boundary, one entry a run; infinity: never."""
Draw = Callable[[np.random.Generator, int], Histories]
"""That many fresh histories."""


def drawn_from(pools: Pools, course: Course) -> Draw:
    """Histories of people drawn from pools."""

    def draw(rng: np.random.Generator, runs: int) -> Histories:
        in_challenger = rng.random((runs, course.people), dtype=np.float32) < course.share
        values, denominators = pools.draw(rng, in_challenger, course.level)
        return Histories(course, in_challenger, values, denominators)

    return draw


def first_crossing(above: NDArray[np.bool_], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """`people[k]` at the first true column k of each row, infinity where there is none."""
    if not above.shape[1]:
        return np.full(above.shape[0], np.inf)
    return np.where(above.any(axis=1), people[above.argmax(axis=1)].astype(np.float64), np.inf)


def betting_test(
    design: BettingDesign, *, margin: float = 0.0, harm: bool = False, boundary: float = 20.0, least: int = 0
) -> Test:
    """The exact test that bets on scores: superiority, non-inferiority (`margin` below 0) or harm of the challenger.
    Nothing is decided before `least` people."""

    def test(h: Histories) -> NDArray[np.float64]:
        found = scores(h.values, h.denominators, h.covariates)
        arms = two_arms(~h.in_challenger, 1 - h.course.share) if harm else two_arms(h.in_challenger, h.course.share)
        e = wealth(gains(found, arms, design, margin))
        people = np.arange(1, h.course.people + 1)
        return first_crossing((e >= boundary) & (people >= least), people)

    return test


def two_arm_test(
    design: Design,
    *,
    margin: float = 0.0,
    harm: bool = False,
    boundary: float = 20.0,
    binary: bool = True,
    least: int = 0,
) -> Test:
    """The exact two-arm test of means; denominators are not looked at. Unless `binary`, of any values in [0, 1].
    Nothing is decided before `least` people."""

    def test(h: Histories) -> NDArray[np.float64]:
        in_a = ~h.in_challenger if harm else h.in_challenger
        if not binary:
            path, people = bounded_e_process(in_a, h.values, h.course.phase, design, margin)
        else:
            counts, people = block_counts(in_a, h.values > 0.5, h.course.phase, design.block_people)
            path = counts_e_process(counts, design, margin)
        return first_crossing((path >= np.log(boundary)) & (people >= least), people)

    return test


def asymptotic_test(
    design: AsymptoticDesign, *, margin: float = 0.0, harm: bool = False, boundary: float = 20.0
) -> Test:
    """The asymptotic test of adjusted scores; ratios by linearisation about the ratio of all earlier people."""

    def test(h: Histories) -> NDArray[np.float64]:
        values, null = h.values, margin
        if h.denominators is not None:
            found = scores(h.values, h.denominators)
            values = found.residual / h.denominators.mean()
        arms = two_arms(~h.in_challenger, 1 - h.course.share) if harm else two_arms(h.in_challenger, h.course.share)
        path = asymptotic_path(values, arms, design, null, h.covariates)
        return first_crossing(path >= np.log(boundary), np.arange(1, h.course.people + 1))

    return test


def simulate(draw: Draw, tests: Mapping[str, Test], runs: int, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Stops of every test on the same `runs` histories."""
    rng = np.random.default_rng(seed)
    stops: dict[str, list[NDArray[np.float64]]] = {name: [] for name in tests}
    done, chunk = 0, 1
    while done < runs:
        histories = draw(rng, min(chunk, runs - done))
        for name, test in tests.items():
            stops[name].append(test(histories))
        done += histories.values.shape[0]
        chunk = max(1, CHUNK // histories.course.people)
    return {name: np.concatenate(found) for name, found in stops.items()}


@dataclass(frozen=True)
class Rate:
    """How often something happened, with the upper end of the one-sided 95 % (two-sided 90 %) Wilson interval."""

    count: int
    runs: int
    upper: float

    @property
    def rate(self) -> float:
        """Share of the runs."""
        return self.count / self.runs


def rate_of(stops: NDArray[np.float64]) -> Rate:
    """How often a test ever decided."""
    count = int(np.isfinite(stops).sum())
    return Rate(count, len(stops), wilson_interval(count, len(stops), confidence=0.9)[1])


@dataclass(frozen=True)
class Speed:
    """Stops in units of `fixed`, the people of the fixed-sample test; runs capped at twice that count as twice."""

    fixed: float
    mean: float
    median: float
    power: float
    error: float


def speed_of(stops: NDArray[np.float64], fixed: float) -> Speed:
    """Mean, median and power of capped stops, and the standard error of the mean."""
    capped = np.minimum(stops, 2 * fixed) / fixed
    error = float(capped.std() / np.sqrt(len(capped)))
    return Speed(fixed, float(capped.mean()), float(np.median(capped)), float((stops <= 2 * fixed).mean()), error)
