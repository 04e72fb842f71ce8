"""The simulator equals the product on a thousand histories; its people have the means they are said to have; and a
reduced grid of error rates (`make bench-ab` runs the full one)."""

import numpy as np
import pytest
from scipy.stats import binom

from ab_testing.evidence import PersonValues, betting_design, design_of, e_processes_of, harm_design
from ab_testing.simulation import (
    Test,
    betting_test,
    drawn_from,
    first_crossing,
    rate_of,
    simulate,
    speed_of,
    two_arm_test,
)
from ab_testing.simulation_people import KINDS, Kind, growing, pools, steady
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from tests.benchmarks.experiments_grid import Cell, cells, measure

SAFE = MetricSettings(name="love", objective="love", role="guardrail", missing="zero", delta=0.1)
SHOWN = MetricSettings(name="shown", objective="love", role="guardrail", delta=0.1)
GOAL = MetricSettings(name="goal", objective="love", role="goal")
RULES = AbTestingSettings(metrics=(GOAL, SAFE, SHOWN), smallest_relative_effect=0.8)


def test_the_simulator_is_the_product_on_a_thousand_histories() -> None:
    """Same stops of all three questions, person by person, under a growing ramp with a moving rate; 250 histories of
    each kind of people."""
    design, course = design_of(RULES), growing(150, (0.05, 0.5), 4, disjoint=True)
    harm, margin = harm_design(SAFE, design), -SAFE.delta
    for kind in KINDS:
        binary = kind == "binary"
        draw = drawn_from(pools(kind, np.linspace(0.2, 0.5, 4), drop=0.5, better=True), course)
        tests: dict[str, tuple[MetricSettings, tuple[Test, Test, Test]]] = {
            "betting": (SAFE, (
                betting_test(betting_design(design), boundary=4.0),
                betting_test(betting_design(harm), boundary=1.5, harm=True),
                betting_test(betting_design(design), boundary=4.0, margin=margin),
            )),
        }  # fmt: skip
        if kind != "ratio":
            tests["two-arm"] = (SHOWN, (
                two_arm_test(design, boundary=4.0, binary=binary),
                two_arm_test(harm, boundary=1.5, binary=binary, harm=True),
                two_arm_test(design, boundary=4.0, binary=binary, margin=margin),
            ))  # fmt: skip
        histories = draw(np.random.default_rng(7), 250)
        for name, (metric, questions) in tests.items():
            stops = [test(histories) for test in questions]
            for run in range(250):
                line = histories.denominators
                people = PersonValues(
                    histories.in_challenger[run], histories.values[run], course.phase, np.zeros(150), course.share,
                    None if line is None else line[run],
                )  # fmt: skip
                product = e_processes_of(metric, people, design)
                for found, expected, boundary in zip(
                    (product.better, product.worse, product.not_inferior), stops, (4.0, 1.5, 4.0), strict=True
                ):
                    assert found is not None
                    stop = first_crossing((found.log_e >= np.log(boundary))[None], found.people)[0]
                    assert stop == expected[run], (kind, name, run)
            assert all(np.isfinite(each).any() for each in stops), (kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_people_have_the_means_they_are_said_to_have(kind: Kind) -> None:
    same, apart = pools(kind, np.array([0.2])), pools(kind, np.array([0.2]), drop=0.3)
    assert same.difference[0] == 0.0
    ratio = apart.values.mean(axis=2)[0] / (1 if apart.denominators is None else apart.denominators.mean(axis=2)[0])
    assert ratio[1] / ratio[0] == pytest.approx(0.7, abs=1e-3)
    assert apart.difference[0] >= 0.3 * ratio[0] - 1e-9
    found, line = apart.draw(np.random.default_rng(0), np.tile([True, False], (2, 500)), np.zeros(1000, dtype=np.int64))
    assert found.shape == (2, 1000)
    assert (line is None) == (kind != "ratio")


def test_one_seed_for_pools_and_histories_does_no_harm() -> None:
    """The order in which people of a pool lose their value must not be the one in which they are drawn."""
    pool = pools("binary", np.array([0.25]), drop=0.1, relative=False, seed=0)
    rng = np.random.default_rng(0)
    for runs in (1, 30):
        rng.random((runs, 1000), dtype=np.float32)
        found, _line = pool.draw(rng, np.ones((runs, 1000), dtype=bool), np.zeros(1000, dtype=np.int64))
    assert found.mean() == pytest.approx(0.15, abs=0.015)


def test_courses() -> None:
    course = growing(1100, (0.05, 0.5), 4, disjoint=True)
    assert np.bincount(course.phase).tolist() == [100, 1000]
    assert set(course.share) == {0.5}
    assert growing(1000, (0.05, 0.5), 4).share.tolist() == [0.05] * 500 + [0.5] * 500
    assert course.level[[0, 99, 100, 1099]].tolist() == [0, 1, 2, 3]
    assert steady(10, 0.05).people == 10


def test_figures_of_stops() -> None:
    stops = np.array([50.0, 150.0, 250.0, np.inf])
    assert (rate_of(stops).rate, rate_of(stops).count) == (0.75, 3)
    assert rate_of(stops).upper > 0.75
    found = speed_of(stops, 100)
    assert (found.mean, found.median, found.power) == (1.5, 1.75, 0.5)


@pytest.mark.parametrize("cell", list(cells(full=False)), ids=lambda cell: cell.name)
def test_a_reduced_grid(cell: Cell) -> None:
    """More false decisions than this in 120 runs happen once in ten thousand at the nominal rate."""
    for name, found in measure(cell, 120).items():
        if name != "people":
            assert found["count"] <= binom.ppf(1 - 1e-4, 120, 0.05), name


def test_runs_are_repeatable() -> None:
    draw = drawn_from(pools("binary", np.array([0.3]), drop=0.5, better=True), steady(200, 0.5))
    tests = {"betting": betting_test(betting_design(design_of(RULES)))}
    first, again = (simulate(draw, tests, 40, seed=3)["betting"] for _ in range(2))
    assert np.array_equal(first, again)
    assert first.size == 40
