"""Return, effects and verdicts: by hand, against an oracle, and for people whose signal means nothing."""

import math

import numpy as np
import pytest

from infra.settings.ingest import IngestSettings
from infra.settings.rewards import ValiditySettings
from ingest.objectives import resolve
from ingest.validity.effects import adjusted_effect
from ingest.validity.jobs import validity_of
from ingest.validity.returns import Frame, frame_of, person_days, return_rate
from ingest.validity.verdicts import SignalValidity, refusals, verdict_of


def test_return_by_hand_is_censored_until_seven_days_are_over() -> None:
    activity = [("ann", 0.5), ("ann", 0.7), ("ann", 7.2), ("ann", 15.5), ("ben", 3.0)]
    days = person_days(activity, until=15.9, return_days=7, day_seconds=1.0)
    told = {key: (day.answers, day.active_before, day.returned) for key, day in days.items()}
    assert told == {
        ("ann", 0): (2, 0, True),  # again on day 7
        ("ann", 7): (1, 1, False),  # again on day 15 only, the eighth
        ("ann", 15): (1, 0, None),
        ("ben", 3): (1, 0, False),
    }
    assert return_rate(days.values()) == (pytest.approx(1 / 3), 3)
    assert math.isnan(return_rate([])[0])
    assert person_days([("ann", 0.5)], until=7.9, return_days=7, day_seconds=1.0)["ann", 0].returned is None
    assert person_days([("ann", 0.5)], until=8.0, return_days=7, day_seconds=1.0)["ann", 0].returned is False


def test_the_frame_has_the_mean_of_each_day() -> None:
    days = person_days([("ann", 0.1), ("ann", 0.2), ("ben", 1.0)], until=20, return_days=7, day_seconds=1.0)
    labelled = [(("ann", 0), {"love": 1.0}), (("ann", 0), {"love": 0.0}), (("ben", 1), {"love": None})]
    frame = frame_of(days, labelled, ["love"])
    assert frame.values["love"][0] == 0.5
    assert np.isnan(frame.values["love"][1])
    assert frame.covariates[0, 0] == pytest.approx(math.log(2))
    assert frame.people.tolist() == [0, 1]


def test_the_effect_against_a_full_regression() -> None:
    """The whole sandwich matrix, worked out without partialling anything out."""
    draw = np.random.default_rng(2)
    people = np.repeat(np.arange(40), 5)
    covariates = draw.normal(size=(200, 2))
    signal = draw.normal(size=200) + covariates[:, 0]
    outcome = 0.3 * signal + covariates @ [0.5, -0.2] + draw.normal(size=40)[people] + draw.normal(size=200)
    found = adjusted_effect(outcome, signal, covariates, people)
    z = np.column_stack([np.ones(200), covariates, signal])
    inverse = np.linalg.inv(z.T @ z)
    beta = inverse @ z.T @ outcome
    residual = outcome - z @ beta
    meat = sum(np.outer(s, s) for s in (z[people == g].T @ residual[people == g] for g in range(40)))
    variance = inverse @ meat @ inverse * 40 / 39
    assert found is not None
    assert found.mean == pytest.approx(beta[-1])
    assert found.standard_error == pytest.approx(math.sqrt(variance[-1, -1]))
    assert found.clusters == 40


def test_nothing_is_said_about_what_does_not_vary() -> None:
    ones, people = np.ones(30), np.arange(30)
    assert adjusted_effect(ones, ones, np.empty((30, 0)), people) is None
    # What the covariates explain wholly leaves nothing: an effect of rounding, with an interval of rounding, is none.
    draw = np.random.default_rng(0)
    known, signal = draw.integers(0, 2, (30, 1)).astype(float), draw.integers(0, 2, 30).astype(float)
    assert adjusted_effect(1.0 - known[:, 0], signal, known, np.arange(30)) is None
    assert adjusted_effect(ones, np.arange(30.0), np.empty((30, 0)), np.zeros(30, dtype=np.int64)) is None


def test_intervals_miss_as_often_as_they_say() -> None:
    """A signal that means nothing, people who differ in how often they return: 95 % intervals of 0."""
    draw, missed, runs = np.random.default_rng(3), 0, 300
    for _ in range(runs):
        people = np.repeat(np.arange(80), 6)
        taste, habit = draw.random(80)[people], draw.random(80)[people]
        signal = (draw.random(480) < taste).astype(float)
        outcome = (draw.random(480) < habit).astype(float)
        found = adjusted_effect(outcome, signal, np.empty((480, 0)), people)
        assert found is not None
        missed += not found.low <= 0 <= found.high
    assert 0.02 <= missed / runs <= 0.09


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "verdict"),
    [
        (0.1, 0.3, False, "predicts"),
        (-0.3, -0.1, False, "contradicts"),
        (-0.1, 0.1, False, "unclear"),
        (-0.3, -0.1, True, "predicts"),
        (0.1, 0.3, True, "contradicts"),
    ],
)
def test_verdicts(low: float, high: float, lower_is_better: bool, verdict: str) -> None:
    assert verdict_of(low, high, lower_is_better=lower_is_better) == verdict


def test_too_few_people_and_intervals_shared_out() -> None:
    objectives = resolve(IngestSettings().objectives)
    n = 60
    values = {objective.name: np.full(n, np.nan) for objective in objectives}
    values["love"] = np.tile([0.0, 1.0], n // 2)
    frame = Frame(np.tile([0.0, 1.0], n // 2), values, np.random.default_rng(0).normal(size=(n, 1)), np.arange(n))
    found = {o.objective: o for o in validity_of(frame, objectives, ValiditySettings(min_people=50), 5.0)}
    assert found["love"].verdict == "predicts"
    assert found["love"].detail["confidence"] == pytest.approx(1 - 0.05 / 6)
    assert found["harm"].verdict == "too_few"
    assert found["harm"].effect is None


def test_a_positive_weight_needs_evidence_or_a_written_override() -> None:
    settings = IngestSettings(objectives={"dwell": {"weight": 0.5}, "share": {"override": " "}})  # type: ignore[arg-type]
    objectives = resolve(settings.objectives)
    refused = refusals(objectives, {})
    assert sorted(refused) == ["dwell", "share"]
    assert "ingest.objectives.dwell.override" in refused["dwell"]
    for verdict, still in (
        ("predicts", ["share"]),
        ("unclear", ["dwell", "share"]),
        ("contradicts", ["dwell", "share"]),
    ):
        known = SignalValidity("dwell", verdict, 0.1, 0.0, 0.2, 100, {}, 1.0)  # type: ignore[arg-type]
        assert sorted(refusals(objectives, {"dwell": known})) == still
    assert refusals(resolve(IngestSettings().objectives), {}) == {}  # out of the box nothing is refused
