"""Methods that hold at several looks, or at every one, beside ours: what it costs to be able to look at any time."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_testing.simulation import Histories, Test, first_crossing, rate_of, simulate
from infra.settings.ab_testing import AbTestingSettings
from infra.statistics import log_dirichlet_factor, wilson_interval
from tests.benchmarks.experiments_speed import binary, case
from tests.benchmarks.experiments_usual import differences, welch_sequence
from tests.benchmarks.usual_methods import chi_square_p, group_sequential_boundaries, poly_stitching_bound

CASES = ("binary .10 -> .12", "sample ratio")
LOOKS, ENDS = 4, (1.1, 2.0)
"""Of the group-sequential test, and its last look in units of N: by 1.1 N its power is about 80 %."""
ALPHA = 0.05
SAMPLE_RATIO_PEOPLE, SAMPLE_RATIO_EVERY = 100_000, 100


def measure(name: str, runs: int) -> dict[str, Any]:
    """Figures of one case."""
    return speed(max(runs // 2, 20)) if name == CASES[0] else sample_ratio(max(runs // 5, 50))


def speed(runs: int) -> dict[str, dict[str, float]]:
    """Stops of each method in units of N on the same histories, and false winners without an effect."""
    draw, _effect, fixed, ours = case(CASES[0])
    tests: dict[str, tuple[Test, float]] = {
        f"group sequential, {LOOKS} looks, by {end:g} N": (group_sequential(end * fixed), end) for end in ENDS
    }
    tests |= {
        "two-sample mixture, two-sided": (partial(welch_sequence, tuning=fixed), 2.0),
        "stitched": (partial(stitched, least=fixed / 10), 2.0),
        "betting": (ours["betting"], 2.0),
    }
    equal, alone = binary(0.10, 0.10, int(2 * fixed)), {name: test for name, (test, _end) in tests.items()}
    stops, null = simulate(draw, alone, runs, seed=11), simulate(equal, alone, runs, seed=12)
    return {name: figures(stops[name], null[name], fixed, end) for name, (_test, end) in tests.items()}


def figures(stops: NDArray[np.float64], null: NDArray[np.float64], fixed: float, end: float) -> dict[str, float]:
    """Mean stop in units of `fixed`, where who has not decided by `end` stops there, with its standard error; power and
    false winners by then."""
    capped, alarms = np.minimum(stops / fixed, end), rate_of(null)
    error = float(capped.std() / np.sqrt(len(capped)))
    power = float(np.isfinite(stops).mean())
    return {
        "mean": float(capped.mean()), "error": error, "power": power, "fixed": fixed,
        "false": alarms.rate, "false_upper": alarms.upper, "runs": len(stops),
    }  # fmt: skip


def group_sequential(people: float) -> Test:
    """One-sided at 5 % with `LOOKS` looks, evenly up to `people`."""
    times = [(k + 1) / LOOKS for k in range(LOOKS)]
    planned, boundaries = (np.array(times) * people).astype(np.int64), group_sequential_boundaries(times, ALPHA)

    def test(h: Histories) -> NDArray[np.float64]:
        difference, variance, enough, looks = differences(h, planned)
        return first_crossing(enough & (difference > np.array(boundaries) * np.sqrt(variance)), looks)

    return test


def stitched(h: Histories, least: float) -> NDArray[np.float64]:
    """The one-sided stitched boundary on the standardised difference, as a sum of n values of variance 1; nothing is
    decided before `least` people."""
    difference, variance, enough, looks = differences(h)
    n = looks.astype(np.float64)
    above = difference > poly_stitching_bound(n, ALPHA, least) / n * np.sqrt(variance * n)
    return first_crossing(enough & (n >= least) & above, looks)


def sample_ratio(runs: int) -> dict[str, dict[str, float]]:
    """Alarms over 100,000 people who land as they should, looked at every 100: Pearson's test and the product's."""
    rng, rules, shares = np.random.default_rng(13), AbTestingSettings(), np.array([0.5, 0.5])
    n = np.arange(SAMPLE_RATIO_EVERY, SAMPLE_RATIO_PEOPLE + 1, SAMPLE_RATIO_EVERY, dtype=np.float64)
    found = dict.fromkeys(("chi-square at .01", "chi-square at .001", "sequential at .01"), 0)
    for _ in range(runs):
        a = np.cumsum(rng.binomial(SAMPLE_RATIO_EVERY, 0.5, len(n))).astype(np.float64)
        counts = np.stack([a, n - a], axis=-1)
        p = chi_square_p(counts, shares).min()
        e = log_dirichlet_factor(counts, shares, rules.srm_concentration).max()
        found["chi-square at .01"] += bool(p < 0.01)
        found["chi-square at .001"] += bool(p < 0.001)
        found["sequential at .01"] += bool(e >= -np.log(0.01))
    return {
        test: {"alarms": count / runs, "upper": wilson_interval(count, runs, confidence=0.9)[1], "runs": runs}
        for test, count in found.items()
    }
