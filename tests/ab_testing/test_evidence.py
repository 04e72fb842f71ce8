"""From frozen values to e-processes: arms, directions, phases, missing and broken values."""

import math

import numpy as np
import pytest

from ab_testing.evidence import (
    ExposedPeople,
    PersonValues,
    betting_design,
    design_of,
    e_processes_of,
    gather,
    harm_design,
    sample_ratio,
)
from infra.settings.ab_testing import AbTestingSettings, MetricSettings

HARM = MetricSettings(name="harm", objective="harm", role="guardrail", direction="lower", delta=0.1)
LOVE = MetricSettings(name="love", objective="love", role="goal")
RULES = AbTestingSettings(metrics=(LOVE, HARM), smallest_relative_effect=0.2)
Rows = list[tuple[str, float | None, int, float]]


def rows(n: int, challenger: float, control: float, seed: int = 0) -> Rows:
    draw = np.random.default_rng(seed)
    arms = ["challenger" if treated else "control" for treated in draw.random(n) < 0.5]
    rates = {"challenger": challenger, "control": control}
    return [(arm, float(draw.random() < rates[arm]), 0, float(k)) for k, arm in enumerate(arms)]


def exposed(challengers: int, controls: int, flips: int = 0) -> ExposedPeople:
    pairs = [("challenger", 0, 1)] * challengers + [("control", 0, 1)] * controls
    order = np.random.default_rng(0).permutation(len(pairs))
    return ExposedPeople.of([(*pairs[k][:2], 2 if n < flips else 1) for n, k in enumerate(order)])


def test_more_love_is_better_and_more_harm_is_worse() -> None:
    people, design = PersonValues.of(rows(1000, 0.5, 0.2)), design_of(RULES)
    love, harm = e_processes_of(LOVE, people, design), e_processes_of(HARM, people, design)
    assert love.better.last > math.log(100) > love.worse.highest
    assert harm.worse.highest > math.log(100) > harm.better.highest
    assert love.not_inferior is None
    assert harm.not_inferior is not None
    assert harm.not_inferior.highest < math.log(20)


def test_equal_harm_is_shown_not_to_be_worse_by_its_margin() -> None:
    tests = e_processes_of(HARM, PersonValues.of(rows(1000, 0.05, 0.05)), design_of(RULES))
    assert tests.not_inferior is not None
    assert tests.not_inferior.last > math.log(20)


def test_a_fall_is_found_sooner_where_the_rate_was_expected() -> None:
    """The stake is then what the margin is worth at that rate, not what a few people's variance makes of it."""
    safe = MetricSettings(name="safe", objective="safe", role="guardrail", missing="zero", delta=0.05)
    known = safe.model_copy(update={"expected_rate": 0.95})
    design, found = design_of(RULES), {True: 0, False: 0}
    for seed in range(40):
        people = PersonValues.of(rows(800, 0.90, 0.95, seed))
        for metric in (safe, known):
            found[metric is known] += e_processes_of(metric, people, design).worse.highest >= math.log(20)
    assert found[True] > found[False]
    assert betting_design(harm_design(known, design), 0.95).base == 0.95
    assert betting_design(design, 0.95).base is None


def test_people_without_a_value_do_not_count() -> None:
    with_gaps: Rows = []
    for row in rows(200, 0.5, 0.2):
        with_gaps += [row, ("control", None, 0, row[3])]
    assert np.array_equal(PersonValues.of(with_gaps).values, PersonValues.of(rows(200, 0.5, 0.2)).values)


def test_gathered_numbers() -> None:
    found = gather(
        RULES,
        {"love": PersonValues.of(rows(1000, 0.5, 0.2)), "harm": PersonValues.of([])},
        exposed(510, 490, flips=3),
        phase=0,
    )
    love, harm = found.metrics
    assert (found.exposed_challenger, found.exposed_control, found.flips) == (510, 490, 3)
    assert love.people_challenger + love.people_control == 1000
    assert love.low is not None
    assert love.high is not None
    assert love.low < 0.3 < love.high
    assert love.least_people_in_phase == min(love.people_challenger, love.people_control)
    assert (harm.people_challenger, harm.rate_challenger, harm.log_e_better, harm.effect) == (0, None, 0.0, None)
    assert found.unusable == ""


@pytest.mark.parametrize("bad", [float("nan"), 1.5, -0.1])
def test_broken_values_are_named_and_make_the_evidence_unusable(bad: float) -> None:
    values = {"love": PersonValues.of([*rows(50, 0.5, 0.2), ("control", bad, 0, 99.0)]), "harm": PersonValues.of([])}
    assert gather(RULES, values, exposed(25, 25), phase=0).unusable.startswith("1 frozen values of metric 'love'")


def test_sample_ratio_remembers_its_highest() -> None:
    lopsided = ExposedPeople.of([("challenger", 0, 1)] * 60 + [("control", 0, 1)] * 60)
    assert sample_ratio(RULES, lopsided) > math.log(100)
    assert sample_ratio(RULES, exposed(60, 60)) < math.log(100)
    assert sample_ratio(RULES, ExposedPeople.of([])) == 0.0
