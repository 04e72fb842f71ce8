"""A year of challengers, one after the other: false discoveries, people to a decision, and power along the stream."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_testing.simulation import drawn_from
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
"""Share of challengers that are truly better, by the designed effect; the one whose power is told always is."""
SPENDING = ("standard", "even", "power")
PROCEDURES: tuple[Procedure, ...] = ("e_lond", "closed_e_lond", "e_lord")
CASES = tuple(f"{share:.0%} real, {how} spending" for share in REAL for how in SPENDING)


def library(better: bool, runs: int) -> NDArray[np.float32]:
    """Paths of log e (nats) of `runs` experiments, every tenth person, (runs, PEOPLE / 10)."""
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
        paths.append(np.log(e[:, 9::10]).astype(np.float32))
    return np.concatenate(paths)


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
    until: int,
) -> tuple[list[bool], list[float]]:
    """Decisions and people of the first `until` challengers, each stopped at its boundary or given up."""
    log_e: list[float] = []
    rejected: list[bool] = []
    people: list[float] = []
    for t in range(until):
        path = paths[int(real[t])][rows[t]]
        need = next_log_threshold(log_e, rejected, ALPHA, gamma, procedure)
        reached = np.flatnonzero(path >= need)
        stop = int(reached[0]) if reached.size else len(path) - 1
        log_e.append(float(path[stop]))
        rejected.append(bool(reached.size))
        people.append(10.0 * (stop + 1) if reached.size else math.inf)
    return rejected, people


def measure(name: str, runs: int) -> dict[str, Any]:
    """For each procedure: false discovery rate of whole years, and power and people at the positions told."""
    share, how = float(name.split("%")[0]) / 100, name.split()[2]
    paths = library(False, max(runs // 5, 100)), library(True, max(runs // 5, 100))
    years = max(runs // 100, 4)
    return {procedure: _figures(procedure, share, how, paths, years) for procedure in PROCEDURES}


def _figures(
    procedure: Procedure, share: float, how: str, paths: tuple[NDArray[np.float32], ...], years: int
) -> dict[str, float]:
    rng = np.random.default_rng(7)
    gamma = shares_of(how, procedure)
    proportions, discoveries, found = [], [], {position: [] for position in POSITIONS}  # type: ignore[var-annotated]
    for _ in range(years):
        real, rows = rng.random(YEAR) < share, rng.integers(0, len(paths[0]), YEAR)
        rejected, _people = year(real, rows, paths, procedure, gamma, YEAR)
        wrong = sum(r and not good for r, good in zip(rejected, real, strict=True))
        proportions.append(wrong / max(sum(rejected), 1))
        discoveries.append(sum(rejected))
        for position in POSITIONS:
            real[position - 1] = True
            found[position].append(year(real, rows, paths, procedure, gamma, position)[1][-1])
    told: dict[str, float] = {
        "years": years,
        "fixed": FIXED,
        "false_discovery_rate": float(np.mean(proportions)),
        "standard_error": float(np.std(proportions) / np.sqrt(years)),
        "discoveries": float(np.mean(discoveries)),
    }
    for position in POSITIONS:
        people = np.array(found[position])
        told[f"power_{position}_by_2n"] = float((people <= 2 * FIXED).mean())
        told[f"power_{position}"] = float(np.isfinite(people).mean())
        told[f"median_people_{position}"] = float(np.median(people)) if np.isfinite(np.median(people)) else -1.0
    return told
