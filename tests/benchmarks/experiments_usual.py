"""What the usual methods do on the same kind of histories: nothing is wrong with any challenger here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ab_testing.simulation import (
    Histories,
    Test,
    asymptotic_test,
    betting_test,
    drawn_from,
    first_crossing,
    rate_of,
    simulate,
)
from ab_testing.simulation_people import growing, pools, steady
from infra.statistics import AsymptoticDesign, BettingDesign, asymptotic_margin, asymptotic_rho

PEOPLE = 12_000
EVERY = 20
"""Looks of the usual methods, in people."""
FEWEST = 10
"""People an arm before their first look."""

CASES = (
    "two-sample sequence, Welch variance, 5 % ramp, rate .05",
    "two-sample sequence, Welch variance, 1 % ramp, rate .01",
    "one count a message, 10 answers a person",
    "ramp 5 -> 50 %, rate .05 -> .15, arms pooled",
    "fixed-sample test at every look",
)


def differences(
    h: Histories, looks: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Difference of means, its Welch variance, whether both arms have people enough, and people at every look: every
    `EVERY` people where `looks` are not told."""
    looks = np.arange(EVERY, h.course.people + 1, EVERY) if looks is None else looks
    means, variances, enough = [], [], np.ones((h.values.shape[0], len(looks)), dtype=np.bool_)
    for side in (h.in_challenger, ~h.in_challenger):
        n = np.cumsum(side, axis=1)[:, looks - 1]
        total = np.cumsum(h.values * side, axis=1)[:, looks - 1]
        squares = np.cumsum(h.values**2 * side, axis=1)[:, looks - 1]
        mean = total / np.maximum(n, 1)
        means.append(mean)
        variances.append(np.maximum(squares / np.maximum(n, 1) - mean**2, 0) / np.maximum(n - 1, 1))
        enough &= n >= FEWEST
    return means[0] - means[1], variances[0] + variances[1], enough, looks


def welch_sequence(h: Histories, tuning: float = 10_000) -> NDArray[np.float64]:
    """Two-sided asymptotic sequence at 5 %, narrowest at `tuning` people, excluding zero on either side."""
    difference, variance, enough, looks = differences(h)
    n = looks.astype(np.float64)
    margin = asymptotic_margin(np.sqrt(variance * n), n, asymptotic_rho(tuning, 0.05), 0.05)
    return first_crossing(enough & (np.abs(difference) > margin), looks)


def fixed_test(h: Histories) -> NDArray[np.float64]:
    """One-sided z-test at 5 %, at every look."""
    difference, variance, enough, looks = differences(h)
    return first_crossing(enough & (difference > float(ndtri(0.95)) * np.sqrt(variance)), looks)


def by_message(h: Histories, rng: np.random.Generator) -> Histories:
    """The same people's ten answers counted one by one."""
    liked = np.round(h.values * 10).astype(np.int64)
    answers = np.arange(10) < liked[..., None]
    shape = (h.values.shape[0], -1)
    values = rng.permuted(answers, axis=-1).reshape(shape).astype(np.float64)
    course = steady(h.course.people * 10, 0.5)
    return Histories(course, np.repeat(h.in_challenger, 10, axis=1), values)


def measure(name: str, runs: int) -> dict[str, Any]:
    """False winners of the usual method and of ours on the same histories."""
    rng = np.random.default_rng(5)
    tests: dict[str, Test] = {
        "usual": welch_sequence,
        "exact betting": betting_test(BettingDesign(0.3)),
        "asymptotic, gated": asymptotic_test(AsymptoticDesign(PEOPLE / 2)),
    }
    course, pool = steady(PEOPLE, 0.5), pools("binary", np.array([0.1]))
    if name == CASES[0]:
        course, pool = steady(PEOPLE, 0.05), pools("binary", np.array([0.05]))
    elif name == CASES[1]:
        course, pool = steady(PEOPLE, 0.01), pools("binary", np.array([0.01]))
    elif name == CASES[2]:
        course, pool = steady(1200, 0.5), pools("clustered", np.array([0.5]))
        tests["usual"] = lambda h: welch_sequence(by_message(h, rng))
    elif name == CASES[3]:
        course, pool = growing(PEOPLE, (0.05, 0.5), 16), pools("binary", np.linspace(0.05, 0.15, 16))
    else:
        tests["usual"] = fixed_test
    stops = simulate(drawn_from(pool, course), tests, runs, seed=6)
    return {test: rate_of(found).rate for test, found in stops.items()}
