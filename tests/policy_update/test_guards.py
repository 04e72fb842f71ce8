"""What stops a run, by hand, and that the message says what to change."""

import re
from typing import Any

import pytest

from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.guards import TrainingDiverged, demand_finite, reason_to_stop
from policy_update.records import StepRecord

SETTINGS = PolicyUpdateSettings(entropy_floor=0.05, kl_base_budget=0.6, length_runaway=2.0)


def record(step: int = 3, **changes: Any) -> StepRecord:
    known = {"entropy": 1.0, "kl_base": 0.1, "mean_length": 10.0} | changes
    names = ("kl", "beta", "gradient_norm", "clip_fraction", "sampler_mismatch")
    seconds = ("sampling_seconds", "scoring_seconds", "update_seconds")
    zeros = dict.fromkeys((*names, *seconds), 0.0)
    parts: dict[str, dict[str, float]] = {name: {} for name in ("rewards", "spreads", "shares", "covariances")}
    return StepRecord(step=step, taken_back=False, **parts, **zeros | known)  # type: ignore[arg-type]


USUAL = [record(step) for step in range(3)]


def test_a_well_step_goes_on() -> None:
    assert reason_to_stop(record(mean_length=20.0), USUAL, SETTINGS) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entropy": 0.04}, r"entropy collapsed to 0.040 .* step 4: raise policy_update.kl_coefficient"),
        ({"kl_base": 0.61}, r"0.610 nats a token from the base .* retrain from the base"),
        ({"mean_length": 20.1}, r"answers grew to 20.1 tokens from 10.0 .* the reward pays for length"),
    ],
)
def test_reasons(changes: dict[str, float], said: str) -> None:
    reason = reason_to_stop(record(**changes), USUAL, SETTINGS)
    assert reason is not None
    assert re.search(said, reason)


def test_length_is_held_against_nothing_before_three_steps() -> None:
    assert reason_to_stop(record(mean_length=99.0), USUAL[:2], SETTINGS) is None


@pytest.mark.parametrize("name", ["reward", "loss", "gradient"])
def test_numbers_that_are_none_stop_the_run(name: str) -> None:
    demand_finite(0, **{name: 1.0})
    for value in (float("nan"), float("inf")):
        with pytest.raises(TrainingDiverged, match=f"step 1: the {name} is .*: "):
            demand_finite(0, **{name: value})
