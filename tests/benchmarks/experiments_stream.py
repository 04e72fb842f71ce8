"""A year of challengers, one after the other: false discoveries, people to a decision, and power along the stream."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_testing.simulation import CHUNK, drawn_from
from ab_testing.simulation_people import pools, steady
from infra.statistics import (
    BettingDesign,
    even_spending,
    gains,
    next_log_threshold,
    power_spending,
    scores,
    standard_spending,
    two_arms,
    wealth,
)
from infra.statistics.online_fdr import Procedure

ALPHA = 0.10
YEAR = 365
RATE, LIFT = 0.1, 0.35
FIXED = 2087
"""People of the fixed-sample test (one-sided 5 %, power 80 %)."""
PEOPLE = 8 * FIXED
"""After these a challenger is given up."""
POSITIONS = (1, 30, 100)
REAL = (0.0, 0.05, 0.2)
"""Share of challengers that are truly better, by the designed effect."""
SPENDING = ("standard", "even", "power")
PROCEDURES: tuple[Procedure, ...] = ("e_lond", "closed_e_lond", "e_lord")
NULLS = tuple(f"all null, {how} spending" for how in SPENDING)
CASES = NULLS + tuple(f"{share:.0%} real, {how} spending" for share in REAL for how in SPENDING)
EVERY = 20
"""People between two looks, in simulated years; the error of null challengers is measured after every person."""


@cache
def library(better: bool, runs: int) -> NDArray[np.float32]:
    """Paths of log e (nats) of `runs` experiments, at every look, (runs, looks)."""
    course = steady(PEOPLE, 0.5)
    pool = pools(
        "binary",
        np.array([RATE * (1 + LIFT) if better else RATE]),
        drop=LIFT / (1 + LIFT) if better else 0.0,
        better=True,
    )
    draw, rng = drawn_from(pool, course), np.random.default_rng(int(better))
    paths = []
    for _ in range(runs // 2):
        h = draw(rng, 2)
        e = wealth(gains(scores(h.values), two_arms(h.in_challenger, course.share), BettingDesign(LIFT)))
        paths.append(np.log(e[:, EVERY - 1 :: EVERY]).astype(np.float32))
    return np.concatenate(paths)


def null_errors(need: NDArray[np.float64], runs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability that an equal challenger's e-value ever reaches each of `need` (nats), and its standard error.

    By importance sampling, as one null path in thousands gets there: people are drawn with arms apart by the
    designed lift about the same rate, and every crossing counts as the likelihood of equal arms over that of what was
    drawn, up to the crossing. Unbiased, looks after every person.
    """
    rng, course = np.random.default_rng(11), steady(PEOPLE, 0.5)
    half = LIFT / (2 + LIFT)
    low, high = RATE * (1 - half), RATE * (1 + half)
    total, squares, done = np.zeros(len(need)), np.zeros(len(need)), 0
    while done < runs:
        shape = (min(max(1, CHUNK // PEOPLE), runs - done), PEOPLE)
        arm = rng.random(shape, dtype=np.float32) < 0.5
        rates = np.where(arm, high, low)
        values = (rng.random(shape, dtype=np.float32) < rates).astype(np.float64)
        e = wealth(gains(scores(values), two_arms(arm, course.share), BettingDesign(LIFT)))
        ratio = np.where(values > 0.5, np.log(RATE / rates), np.log((1 - RATE) / (1 - rates)))
        highest, weight = np.maximum.accumulate(np.log(e), axis=1), np.cumsum(ratio, axis=1)
        for path, log_ratio in zip(highest, weight, strict=True):
            at = np.searchsorted(path, need)
            found = np.where(at < PEOPLE, np.exp(log_ratio[np.minimum(at, PEOPLE - 1)]), 0.0)
            total += found
            squares += found**2
        done += shape[0]
    mean = total / done
    return mean, np.sqrt(np.maximum(squares / done - mean**2, 0.0) / done)


def all_null(how: str, runs: int) -> dict[str, float]:
    """A year of equal challengers: any discovery is false, so the false discovery rate is the chance of one.

    e-LOND asks the same of every challenger until the first discovery, so the chance is 1 - prod (1 - P(reached)).
    """
    need = -np.log(ALPHA * shares_of(how, "e_lond"))
    mean, error = null_errors(need, max(runs, 200))
    rate = 1 - float(np.prod(1 - mean))
    # The thresholds share their draws: errors add up at worst.
    return {"runs": max(runs, 200), "false_discovery_rate": rate, "upper": rate + 1.645 * float(error.sum())}


def shares_of(how: str, procedure: Procedure) -> NDArray[np.float64]:
    """gamma of a spending sequence; for e-LORD the share of the remaining budget that spends the same."""
    gamma = {
        "standard": standard_spending(YEAR),
        "even": even_spending(YEAR, YEAR),
        "power": power_spending(YEAR, YEAR),
    }[how]
    if procedure != "e_lord":
        return gamma
    left = 1 - np.concatenate(([0.0], np.cumsum(gamma)[:-1]))
    return np.asarray(np.minimum(gamma / np.maximum(left, 1e-12), 1.0))


def year(
    real: NDArray[np.bool_],
    rows: NDArray[np.int64],
    paths: tuple[NDArray[np.float32], ...],
    procedure: Procedure,
    gamma: NDArray[np.float64],
) -> tuple[list[bool], list[float]]:
    """Decisions, and what was asked for (nats), of a year's challengers, each stopped at its boundary or given up.
    `rows` choose their paths."""
    log_e: list[float] = []
    rejected: list[bool] = []
    needs: list[float] = []
    for good, row in zip(real, rows, strict=True):
        path = paths[int(good)][row % len(paths[int(good)])]
        needs.append(next_log_threshold(log_e, rejected, ALPHA, gamma, procedure))
        reached = np.flatnonzero(path >= needs[-1])
        log_e.append(float(path[reached[0] if reached.size else -1]))
        rejected.append(bool(reached.size))
    return rejected, needs


def measure(name: str, runs: int) -> dict[str, Any]:
    """For each procedure: false discovery rate of whole years, and power and people at the positions told."""
    how = name.split()[2]
    if name in NULLS:
        return all_null(how, runs)
    share = float(name.split("%")[0]) / 100
    paths = library(False, 2 * max(runs, 100)), library(True, max(runs // 8, 100))
    years = max(runs // 200, 4)
    return {procedure: _figures(procedure, share, how, paths, years) for procedure in PROCEDURES}


def _figures(
    procedure: Procedure, share: float, how: str, paths: tuple[NDArray[np.float32], ...], years: int
) -> dict[str, float]:
    rng = np.random.default_rng(7)
    gamma = shares_of(how, procedure)
    proportions, discoveries, found = [], [], {position: [] for position in POSITIONS}  # type: ignore[var-annotated]
    for _ in range(years):
        real, rows = rng.random(YEAR) < share, rng.integers(0, 2**40, YEAR)
        rejected, needs = year(real, rows, paths, procedure, gamma)
        wrong = sum(r and not good for r, good in zip(rejected, real, strict=True))
        proportions.append(wrong / max(sum(rejected), 1))
        discoveries.append(sum(rejected))
        for position in POSITIONS:
            found[position].append(_people(paths[1], needs[position - 1]))
    told: dict[str, float] = {
        "years": years,
        "fixed": FIXED,
        "false_discovery_rate": float(np.mean(proportions)),
        "standard_error": float(np.std(proportions) / np.sqrt(years)),
        "discoveries": float(np.mean(discoveries)),
    }
    for position in POSITIONS:
        people = np.concatenate(found[position])
        told[f"power_{position}_by_2n"] = float((people <= 2 * FIXED).mean())
        told[f"power_{position}"] = float(np.isfinite(people).mean())
        told[f"median_people_{position}"] = float(np.median(people)) if np.isfinite(np.median(people)) else -1.0
    return told


def _people(paths: NDArray[np.float32], need: float) -> NDArray[np.float64]:
    """People until each path reached what was asked for, infinity: never."""
    reached = paths >= need
    return np.where(reached.any(axis=1), float(EVERY) * (reached.argmax(axis=1) + 1), np.inf)
