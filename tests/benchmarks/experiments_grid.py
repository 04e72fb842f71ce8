"""The grid of error rates: who is promoted or rolled back who should not be, over 10,000 experiments a cell."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ab_testing.simulation import (
    Draw,
    Test,
    asymptotic_test,
    betting_test,
    drawn_from,
    rate_of,
    simulate,
    two_arm_test,
)
from ab_testing.simulation_people import KINDS, Course, Kind, growing, pools, steady
from infra.settings.ab_testing import AbTestingSettings
from infra.statistics import AsymptoticDesign, BettingDesign, Design, fixed_sample_size, wilson_interval

MOST_PEOPLE = 4000
"""Counted people of one experiment at most; else it ends at twice the fixed-sample size of the designed effect."""
MOST_PEOPLE_SMALL = 6000
"""The same at a steady ramp below one half, where the fixed-sample size is larger: else the challenger has hardly
anybody, and no test a chance to err."""
LEVELS = 16
EFFECTS = {0.01: 1.5, 0.1: 0.35, 0.5: 0.12}
"""Smallest effect of interest by rate, relative: what the tests are designed for, and the margin of non-inferiority as
a share of the lowest base rate."""
BLOCK_PEOPLE = AbTestingSettings().block_people
"""As the product's default."""
RAMPS = ("1 %", "5 %", "50 %", "5 -> 50 %, rate moving", "the same, equal arms")
TRUTHS = ("equal", "worse", "margin")
WORSE = 0.3


@dataclass(frozen=True)
class Cell:
    """One cell: its truth says which error is counted."""

    rate: float
    ramp: str
    kind: Kind
    truth: str

    @property
    def name(self) -> str:
        return f"{self.rate:g} | {self.ramp} | {self.kind} | {self.truth}"


def cells(full: bool) -> Iterator[Cell]:
    """Every cell, or a few that have gone wrong elsewhere."""
    for truth in TRUTHS:
        for rate in EFFECTS:
            for ramp in RAMPS:
                for kind in KINDS:
                    if full or (rate != 0.5 and ramp in RAMPS[1:4:2] and kind in ("binary", "heavy_tailed")):
                        yield Cell(rate, ramp, kind, truth)


def course_of(ramp: str, people: int) -> Course:
    """How the experiment of a cell goes. In the first four everybody without the challenger is counted as control, the
    harder case; the last has equal arms, as the product assigns people."""
    if ramp == RAMPS[3]:
        return growing(people, (0.05, 0.5), LEVELS)
    if ramp == RAMPS[4]:
        return growing(people, (0.05, 0.5), LEVELS, disjoint=True)
    return steady(people, float(ramp.split()[0]) / 100)


def histories(cell: Cell) -> tuple[Draw, float, int]:
    """Histories of the cell's truth, the margin of the test, and counted people."""
    moving = cell.ramp in RAMPS[3:]
    rates = cell.rate * (np.linspace(0.5, 1.5, LEVELS) if moving else np.ones(1))
    plain = pools(cell.kind, np.array([cell.rate]))
    size = 1.0 if plain.denominators is None else float(plain.denominators[0, 0].mean())
    mean = float(plain.values[0, 0].mean()) / size
    residual = plain.values[0, 0] - mean * (1.0 if plain.denominators is None else plain.denominators[0, 0])
    delta = min(EFFECTS[cell.rate], 0.5) * mean * (0.5 if moving else 1.0)
    effect = delta if cell.truth == "margin" else EFFECTS[cell.rate] * mean
    share, most = (0.5, MOST_PEOPLE) if moving else (float(cell.ramp.split()[0]) / 100, MOST_PEOPLE)
    most = MOST_PEOPLE_SMALL if share < 0.5 else most
    people = int(min(2 * fixed_sample_size(float(residual.var()) / size**2, effect, share=share), most))
    course = course_of(cell.ramp, people)
    if cell.truth == "margin":
        return drawn_from(pools(cell.kind, rates, drop=delta, relative=False), course), -delta, people
    drop = WORSE if cell.truth == "worse" else 0.0
    return drawn_from(pools(cell.kind, rates, drop=drop), course), 0.0, people


def tests_of(cell: Cell, margin: float, people: int) -> dict[str, Test]:
    """What decides in production, and at equality the rollback and the asymptotic sequence as well. The two-arm test
    knows no ratios."""
    effect = EFFECTS[cell.rate]
    betting, blocks, binary = BettingDesign(effect), two_arm_design(effect), cell.kind == "binary"
    found = {"betting": betting_test(betting, margin=margin)}
    if cell.kind != "ratio":
        found["two-arm"] = two_arm_test(blocks, margin=margin, binary=binary)
    if cell.truth == "equal":
        found["rollback"] = betting_test(betting, harm=True)
        found["asymptotic"] = asymptotic_test(AsymptoticDesign(people / 2))
        if cell.kind != "ratio":
            found["rollback, two-arm"] = two_arm_test(blocks, harm=True, binary=binary)
    return found


def two_arm_design(effect: float, block_people: int = BLOCK_PEOPLE) -> Design:
    """Bettors as in `BettingDesign`, for the two-arm test."""
    usual = BettingDesign(effect)
    lifts = tuple(effect * multiple for multiple in usual.multiples)
    return Design(lifts, 1 - sum(usual.weights), block_people, usual.weights)


def confirm(cell: Cell, runs: int, test: str) -> dict[str, Any]:
    """One test in one cell with `runs` other histories, in lots of 10,000: it tells a rate near 5 % from one above."""
    draw, margin, people = histories(cell)
    chosen, count, lot = {test: tests_of(cell, margin, people)[test]}, 0, 10_000
    for number in range(runs // lot):
        seed = zlib.crc32(f"{cell.name}, {test}, {number}".encode())
        count += rate_of(simulate(draw, chosen, lot, seed=seed)[test]).count
    total = lot * (runs // lot)
    upper = wilson_interval(count, total, confidence=0.9)[1]
    return {"count": count, "runs": total, "rate": count / total, "upper": upper}


def measure(cell: Cell, runs: int, only: str = "") -> dict[str, Any]:
    """False decisions of every test in one cell, or of one test alone, on the same histories."""
    draw, margin, people = histories(cell)
    tests = {name: test for name, test in tests_of(cell, margin, people).items() if only in ("", name)}
    stops = simulate(draw, tests, runs, seed=zlib.crc32(cell.name.encode()))
    rates = {name: rate_of(found) for name, found in stops.items()}
    return {"people": people} | {
        name: {"count": r.count, "runs": r.runs, "rate": r.rate, "upper": r.upper} for name, r in rates.items()
    }
