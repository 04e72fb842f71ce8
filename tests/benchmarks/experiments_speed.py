"""How many people it takes: stops of a lone test at the one-sided level of 5 %, in units of the fixed-sample size."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ab_testing.simulation import (
    Draw,
    Histories,
    Test,
    asymptotic_test,
    betting_test,
    rate_of,
    simulate,
    speed_of,
    two_arm_test,
)
from ab_testing.simulation_people import steady
from infra.statistics import AsymptoticDesign, BettingDesign, Design, fixed_sample_size
from tests.benchmarks.experiments_grid import two_arm_design

DROP_PEOPLE = 1400
COUNTED = 0.1
"""At a ramp of 5 % with equal arms a tenth of all people are counted."""

CASES = (
    "binary .10 -> .12",
    "binary .50 -> .55",
    "binary .05 -> .10",
    "binary .10 -> .12, designed for half of it",
    "binary .10 -> .16, designed for a third of it",
    "binary .10 -> .12, covariate r = .5",
    "bounded .50 -> .51, covariate r = .5",
    "unbounded +.01 sd .1, covariate r = .5",
    "unbounded +.02 sd .1, covariate r = .5",
    ".95 -> .90 at 5 %",
)


def binary(low: float, high: float, people: int, correlation: float = 0.0) -> Draw:
    """Binary values; with a correlation, a binary covariate from before exposure with that correlation to the value of
    a control person, and an effect in proportion to what is left to win."""

    def draw(rng: np.random.Generator, runs: int) -> Histories:
        shape = (runs, people)
        arm = rng.random(shape, dtype=np.float32) < 0.5
        if not correlation:
            rates: Any = np.where(arm, high, low)
            return Histories(steady(people, 0.5), arm, (rng.random(shape, dtype=np.float32) < rates).astype(float))
        x = rng.random(shape, dtype=np.float32) < low
        control = np.where(x, low + correlation * (1 - low), low * (1 - correlation))
        rates = np.where(arm, control + (high - low) * (1 - control) / (1 - low), control)
        values = (rng.random(shape, dtype=np.float32) < rates).astype(float)
        return Histories(steady(people, 0.5), arm, values, None, x.astype(float))

    return draw


def gaussian(effect: float, deviation: float, people: int, correlation: float, *, bounded: bool) -> Draw:
    """Values about 1/2 with a Gaussian covariate; `bounded`: cut at 0 and 1."""

    def draw(rng: np.random.Generator, runs: int) -> Histories:
        shape = (runs, people)
        arm = rng.random(shape, dtype=np.float32) < 0.5
        x = rng.standard_normal(shape)
        y = correlation * x + np.sqrt(1 - correlation**2) * rng.standard_normal(shape)
        values = 0.5 + deviation * y + effect * arm
        return Histories(steady(people, 0.5), arm, np.clip(values, 0, 1) if bounded else values, None, x)

    return draw


def fixed_sample(draw: Draw, effect: float) -> float:
    """N = 4 s^2 (z_a + z_b)^2 / effect^2, s^2 the mean over arms of the values' variance around their regression on the
    covariate, from a million people."""
    history = draw(np.random.default_rng(99), 1_000_000 // draw(np.random.default_rng(0), 1).course.people)
    variances = []
    for side in (True, False):
        here = history.in_challenger == side
        y = history.values[here]
        if history.covariates is not None:
            x = history.covariates[here]
            y = y - np.cov(x, y)[0, 1] / x.var() * (x - x.mean())
        variances.append(float(y.var()))
    return fixed_sample_size(float(np.mean(variances)), effect)


def case(name: str) -> tuple[Draw, float, float, dict[str, Test]]:
    """Histories, true effect, N and tests of a case."""
    if name.startswith("binary"):
        low, high = (float(word.strip(",")) for word in (name.split()[1], name.split()[3]))
        part = 0.5 if "half" in name else 1 / 3 if "third" in name else 1.0
        lift, r = (high / low - 1) * part, 0.5 if "covariate" in name else 0.0
        n = fixed_sample(binary(low, high, 1000, r), high - low)
        tests: dict[str, Test] = {
            "betting": betting_test(BettingDesign(lift)),
            "asymptotic": asymptotic_test(AsymptoticDesign(n / part**2)),
        }
        if not r:
            tests |= {f"two-arm, blocks of {k}": two_arm_test(two_arm_design(lift, k)) for k in (10, 20)}
        return binary(low, high, int(2 * n), r), high - low, n, tests
    effect, deviation, bounded = 0.02 if "+.02" in name else 0.01, 0.1, name.startswith("bounded")
    n = fixed_sample(gaussian(effect, deviation, 1000, 0.5, bounded=bounded), effect)
    tests = {"asymptotic": asymptotic_test(AsymptoticDesign(n))}
    if bounded:
        tests["betting"] = betting_test(BettingDesign(effect / 0.5))
    return gaussian(effect, deviation, int(2 * n), 0.5, bounded=bounded), effect, n, tests


def measure(name: str, runs: int, only: str = "") -> dict[str, Any]:
    """Speed of every test of a case, or of one test alone, on the same histories."""
    if name == CASES[-1]:
        return drop(runs)
    draw, _effect, fixed, tests = case(name)
    tests = {test: found for test, found in tests.items() if only in ("", test)}
    stops = simulate(draw, tests, max(runs // 2, 100), seed=2)
    figures = {test: asdict(speed_of(found, fixed)) for test, found in stops.items()}
    if name.startswith("unbounded") and "asymptotic" in tests:
        # The grid knows no covariates, and this sequence is exact for no number of people.
        equal = gaussian(0.0, 0.1, int(2 * fixed), 0.5, bounded=False)
        alarms = rate_of(simulate(equal, {"asymptotic": tests["asymptotic"]}, runs, seed=6)["asymptotic"])
        figures["asymptotic"] |= {"false_alarms": alarms.rate, "false_alarms_upper": alarms.upper}
    return figures


def drop(runs: int) -> dict[str, Any]:
    """Median people of all traffic until the fall from .95 to .90 is found: equal arms of 5 % each, as the product
    assigns people; and with everybody else counted as control."""
    delta = 0.05
    absolute = BettingDesign(delta, relative=False, base=0.95)
    blocks = two_arm_design(delta)
    tests = {
        "betting": betting_test(absolute, harm=True),
        "betting, rate not told": betting_test(BettingDesign(delta, relative=False), harm=True),
        "two-arm": two_arm_test(Design(blocks.lifts, blocks.plug_in_weight, 20, blocks.weights, False), harm=True),
    }
    stops = simulate(binary(0.95, 0.90, DROP_PEOPLE), tests, runs, seed=3)
    found = {name: _median(each / COUNTED) for name, each in stops.items()}

    def all_counted(rng: np.random.Generator, many: int) -> Histories:
        course = steady(15_000, 0.05)
        arm = rng.random((many, course.people), dtype=np.float32) < 0.05
        rates = np.where(arm, 0.90, 0.95)
        return Histories(course, arm, (rng.random(arm.shape, dtype=np.float32) < rates).astype(float))

    stops = simulate(all_counted, {"betting": tests["betting"]}, runs, seed=4)
    return found | {"betting, all others control": _median(stops["betting"])}


def _median(people: np.ndarray) -> dict[str, float]:
    return {"median_people": float(np.median(people)), "found": float(np.isfinite(people).mean())}
