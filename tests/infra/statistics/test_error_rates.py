"""False promotions, harmful passes and power, by simulation with a look after every block (nothing moves between)."""

import numpy as np
import pytest
from scipy.stats import binom

from infra.statistics import Design, excess_e_process

DESIGN = Design(lifts=(0.1, 0.3, 0.9), plug_in_weight=0.25, block_people=10)
BOUNDARY = np.log(20)
ALPHA = 0.05


def stops(
    runs: int,
    rate_control: np.ndarray,
    rate_challenger: np.ndarray,
    phase: np.ndarray,
    *,
    margin: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """People counted when the boundary was first reached in each run; infinity: never. Rates: one entry a person."""
    draw = np.random.default_rng(seed)
    found = np.full(runs, np.inf)
    for run in range(runs):
        challenger = np.asarray(draw.random(phase.shape[0]) < 0.5)
        values = (draw.random(phase.shape[0]) < np.where(challenger, rate_challenger, rate_control)).astype(float)
        process = excess_e_process(challenger, values, phase, DESIGN, margin)
        reached = np.flatnonzero(process.log_e >= BOUNDARY)
        if reached.size:
            found[run] = process.people[reached[0]]
    return found


def course(people: int, ramp: tuple[float, ...], drift: float) -> tuple[np.ndarray, np.ndarray]:
    """Phase of every counted person when people arrive steadily and each phase lasts equally long, and the factor by
    which the base rate has grown by then: from 1 to `drift`, in time. Of a phase of share s, 2 s of all are counted."""
    weights = np.array(ramp) / sum(ramp)
    counts = np.maximum((weights * people).astype(int), 20)
    phase = np.repeat(np.arange(len(ramp)), counts)
    time = np.concatenate([(k + (np.arange(n) + 0.5) / n) / len(ramp) for k, n in enumerate(counts)])
    return phase, 1 + (drift - 1) * time


def tolerated(runs: int) -> int:
    """More false alarms than this in `runs` happen once in ten thousand when the rate is the nominal one."""
    return int(binom.ppf(1 - 1e-4, runs, ALPHA))


@pytest.mark.parametrize("rate", [0.05, 0.3])
@pytest.mark.parametrize(("ramp", "drift"), [((0.5,), 1.0), ((0.05, 0.5), 3.0)])
def test_no_false_promotions(rate: float, ramp: tuple[float, ...], drift: float) -> None:
    phase, growth = course(1500, ramp, drift)
    runs = 400
    alarms = np.isfinite(stops(runs, rate * growth, rate * growth, phase)).sum()
    assert alarms <= tolerated(runs)


@pytest.mark.parametrize("ramp", [(0.5,), (0.05, 0.5)])
def test_worse_challengers_do_not_pass(ramp: tuple[float, ...]) -> None:
    phase, growth = course(1500, ramp, 1.0)
    runs = 300
    assert np.isfinite(stops(runs, 0.10 * growth, 0.05 * growth, phase)).sum() <= tolerated(runs)


def test_no_false_pass_at_the_margin_of_non_inferiority() -> None:
    phase, growth = course(800, (0.5,), 1.0)
    runs = 150
    passed = np.isfinite(stops(runs, 0.30 * growth, 0.25 * growth, phase, margin=-0.05)).sum()
    assert passed <= tolerated(runs)


def test_a_true_effect_is_found() -> None:
    """.10 -> .20: a fixed sample with 80 % power takes 310 people; being allowed to look costs some more."""
    phase, growth = course(1500, (0.5,), 1.0)
    found = stops(200, 0.10 * growth, 0.20 * growth, phase)
    assert np.isfinite(found).mean() > 0.93
    assert np.median(found) <= 550, f"median people to a promotion: {np.median(found)}"


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize(
    ("ramp", "drift"), [((0.5,), 1.0), ((0.05, 0.5), 1.0), ((0.05, 0.5), 3.0), ((0.01, 0.05, 0.2, 0.5), 0.4)]
)
@pytest.mark.parametrize("worse", [False, True])
def test_error_rates_over_the_grid(rate: float, ramp: tuple[float, ...], drift: float, worse: bool) -> None:
    """10,000 runs a cell: the rate itself, not its tolerance, must stay within 5 %."""
    phase, growth = course(4000, ramp, drift)
    control = np.minimum(rate * growth, 0.95)
    challenger = control * (0.7 if worse else 1.0)
    assert np.isfinite(stops(10_000, control, challenger, phase)).mean() <= ALPHA


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("low", "high"), [(0.10, 0.12), (0.10, 0.20), (0.02, 0.04), (0.3, 0.4)])
def test_people_to_a_decision(low: float, high: float) -> None:
    """Power within twice the fixed-sample size of the one-sided test at 80 %."""
    z = 1.6449 + 0.8416
    fixed = 2 * z**2 * (low * (1 - low) + high * (1 - high)) / (high - low) ** 2
    phase, growth = course(int(2 * fixed), (0.5,), 1.0)
    found = stops(1000, low * growth, high * growth, phase)
    print(f"\n{low} -> {high}: fixed {fixed:.0f}, median {np.median(found):.0f}, found {np.isfinite(found).mean():.2f}")
    assert np.isfinite(found).mean() >= 0.75
