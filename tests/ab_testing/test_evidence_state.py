"""A metric's state a person at a time against the evidence of all rows."""

import numpy as np
import pytest

from ab_testing.evidence import PersonValues, design_of, metric_evidence
from ab_testing.evidence_state import MetricState
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import InvalidStatisticsInput

LOVE = MetricSettings(name="love", objective="love", role="goal")
HARM = MetricSettings(name="harm", objective="harm", role="guardrail", direction="lower", missing="zero", delta=0.1)
KNOWN = HARM.model_copy(update={"name": "known", "expected_rate": 0.3})
RATIO = MetricSettings(name="share", objective="share", role="goal", aggregate="ratio", missing="zero")
LARGEST = HARM.model_copy(update={"name": "largest", "missing": "excluded"})
RULES = AbTestingSettings(metrics=(LOVE, HARM, KNOWN, RATIO, LARGEST), smallest_relative_effect=0.2)


@pytest.mark.parametrize("metric", [LOVE, HARM, KNOWN, RATIO, LARGEST])
def test_the_same_numbers_in_less_than_a_kilobyte(metric: MetricSettings) -> None:
    draw, n = np.random.default_rng(3), 300
    phase = np.repeat([0, 1], [95, 205])
    arm = draw.random(n) < 0.5
    values = (draw.random(n) < np.where(arm, 0.4, 0.3)).astype(float)
    line = draw.random(n) if metric is RATIO else np.ones(n)
    x = values + draw.normal(size=n)
    state = MetricState.begin(RULES, metric)
    for k in range(n):
        covariate = float(x[k]) if metric is HARM else None
        state.update("challenger" if arm[k] else "control", values[k] * line[k], int(phase[k]), 0.5, covariate, line[k])
        if k % 37 == 0:
            state = MetricState.unpack(state.pack(), RULES, metric)
    people = PersonValues(
        arm, values * line, phase, np.arange(n, dtype=np.float64), None, line if metric is RATIO else None,
        x if metric is HARM else None,
    )  # fmt: skip
    found, expected = state.evidence(1), metric_evidence(metric, people, design_of(RULES), 1)
    for name in (
        "log_e_better", "log_e_worse", "log_e_not_inferior", "people_challenger", "people_control", "rate_challenger",
        "rate_control", "least_people_in_phase",
    ):  # fmt: skip
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9), name
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.high
    assert found.effect_late == pytest.approx(later_effect(arm, values * line, line), abs=0.15)
    if metric is not HARM:  # the state's interval is adjusted for the covariate
        assert found.effect == pytest.approx(expected.effect, abs=0.02)
    assert len(state.pack()) <= 1000
    assert state.evidence(2).least_people_in_phase == 0


def test_somebody_of_an_earlier_phase_takes_nobody_from_the_newest() -> None:
    """One value that came late once set the count of the phase back to nothing, and the ramp waited."""
    state = MetricState.begin(RULES, LOVE)
    arm, phase = np.array(["challenger", "control"] * 6), np.repeat([0, 1, 0, 1], [4, 4, 1, 3])
    for who, when in zip(arm, phase, strict=True):
        state.update(str(who), 1.0, int(when))
    rows = PersonValues(arm == "challenger", np.ones(12), phase, np.arange(12.0))
    assert metric_evidence(LOVE, rows, design_of(RULES), 1).least_people_in_phase == 3
    assert state.evidence(1).least_people_in_phase == 3


def later_effect(arm: np.ndarray, values: np.ndarray, line: np.ndarray) -> float:
    """Of the later half, all rows at once."""
    half = len(arm) // 2
    arm, values, line = arm[half:], values[half:], line[half:]
    return float(values[arm].sum() / line[arm].sum() - values[~arm].sum() / line[~arm].sum())


def test_nobody_yet_and_broken_values() -> None:
    state = MetricState.begin(RULES, LOVE)
    empty = state.evidence(0)
    assert (empty.rate_challenger, empty.effect, empty.low, empty.log_e_better) == (None, None, None, 0.0)
    for bad in (("nobody", 0.5, 0.5), ("control", float("nan"), 0.5), ("control", 0.5, 1.0)):
        with pytest.raises(InvalidStatisticsInput):
            state.update(bad[0], bad[1], 0, bad[2])
    assert state.evidence(0).people_control == 0
