"""The size of the demo by what the machine draws: at most the whole, and what it says about it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from infra.settings import load_settings
from plaudit.demo import profile, sizing
from plaudit.demo.options import DemoOptions
from plaudit.demo.run import _sized

WHOLE = DemoOptions()
SLOW = 150.0
"""Tokens a second of a machine on which half of the whole demo fits, or nearly."""


def test_a_fast_machine_gets_the_whole_demo() -> None:
    found = sizing.sized(WHOLE, 550.0)
    assert found == replace(WHOLE, tokens_per_second=550.0)
    assert sizing.told(WHOLE, found) == ""


def test_a_slow_machine_gets_what_fits_by_hand() -> None:
    found = sizing.sized(WHOLE, SLOW)
    # 11.5 minutes less 2.2 of waiting, 2 of experiment and 280 / 150 of judging leave 5.433, times 150 / 1650: .4939
    assert (found.people_before, found.steps) == (355, 6)
    assert (found.evaluation_answers, found.experiment_seconds) == (1, 120.0)
    # (.5 (355 / 720 + 6 / 12) 1650 + 280) / 150 = 7.328 minutes and 4.2
    assert sizing.minutes(found, SLOW) == pytest.approx(11.528, abs=1e-3)
    assert sizing.told(WHOLE, found) == (
        "This machine draws 150 tokens a second, so this is a smaller demo of about 12 minutes: 355 of 720 people, "
        "6 of 12 training steps, 120 of 180 seconds of experiment, 1 of 2 answers a prompt for the last judges. "
        "`--people 720 --steps 12` makes the whole."
    )


def test_only_what_was_cut_is_told() -> None:
    found = sizing.sized(WHOLE, 310.0)
    assert (found.people_before, found.steps) == (720, 12)
    assert "people" not in sizing.told(WHOLE, found).split("`--people")[0]
    assert "120 of 180 seconds of experiment" in sizing.told(WHOLE, found)


def test_a_very_slow_machine_is_waited_for_and_told_the_truth() -> None:
    found = sizing.sized(WHOLE, 20.0)
    assert (found.people_before, found.steps) == (sizing.LEAST_PEOPLE, sizing.LEAST_STEPS)
    assert found.training_patience_seconds == 3 * WHOLE.training_patience_seconds
    assert f"about {sizing.minutes(found, 20.0):.0f} minutes" in sizing.told(WHOLE, found)
    assert sizing.minutes(found, 20.0) > 15


def test_what_is_small_already_is_not_enlarged() -> None:
    found = sizing.sized(replace(WHOLE, people_before=150, steps=2), 20.0)
    assert (found.people_before, found.steps) == (150, 2)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_more_pace_never_means_less_work(one: float, other: float) -> None:
    slow, fast = (sizing.sized(WHOLE, rate) for rate in sorted((one, other)))
    assert sizing.LEAST_PEOPLE <= slow.people_before <= fast.people_before <= WHOLE.people_before
    assert sizing.LEAST_STEPS <= slow.steps <= fast.steps <= WHOLE.steps
    assert slow.experiment_seconds <= fast.experiment_seconds


@given(st.floats(150.0, 1e6))
def test_what_fits_by_the_reckoning_ends_in_time(rate: float) -> None:
    half_a_step = 0.5 * 0.5 / WHOLE.steps * sizing.WORK / rate  # steps are rounded to the nearest
    assert sizing.minutes(sizing.sized(WHOLE, rate), rate) <= sizing.MINUTES + half_a_step + 1e-9


def test_a_small_demo_waits_for_fewer_labels_a_person(tmp_path: Path) -> None:
    least = replace(sizing.sized(WHOLE, 80.0), folder=tmp_path)
    settings = load_settings(profile.write(least))
    # 335 people brought 1.5 labels and pairs each on a machine of 98 tokens a second
    assert settings.reward_model.min_labels < settings.reward_model.min_new_labels == 360
    assert settings.policy_update.steps == sizing.LEAST_STEPS
    assert settings.policy_update.candidates.extrapolations == ()
    assert settings.ab_testing.max_runtime_seconds == sizing.SHORT_EXPERIMENT_SECONDS


@pytest.mark.parametrize(("people", "steps"), [(200, 3), (1000, None), (None, 20)])
def test_what_is_asked_for_is_done_and_nothing_measured(
    people: int | None, steps: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizing, "tokens_per_second", lambda config: pytest.fail("measured for nothing"))
    found, sentence = _sized(replace(WHOLE, folder=tmp_path), people, steps, Console(quiet=True))
    assert (found.people_before, found.steps, sentence) == (people or 720, steps or 12, "")


def test_what_is_not_asked_for_is_measured_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "tokens_per_second", lambda config: SLOW)
    found, sentence = _sized(replace(WHOLE, folder=tmp_path), None, None, Console(quiet=True))
    assert (found.people_before, found.steps) == (355, 6)
    assert sentence == sizing.told(replace(WHOLE, folder=tmp_path), found) != ""


def test_a_machine_that_cannot_be_measured_gets_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("no TOML", encoding="utf-8")
    assert sizing.tokens_per_second(broken) is None
    monkeypatch.setattr(sizing, "tokens_per_second", lambda config: None)
    options = replace(WHOLE, folder=tmp_path / "demo")
    assert _sized(options, None, None, Console(quiet=True)) == (options, "")


def test_one_that_does_not_end_in_time_counts_as_slowest(tmp_path: Path) -> None:
    assert sizing.tokens_per_second(tmp_path / "none.toml", timeout_seconds=0.01) == 1.0


def test_a_child_measures(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_MODEL__BASE", str(tiny_model_dir))
    rate = sizing.tokens_per_second(profile.write(replace(WHOLE, folder=tmp_path)))
    assert rate is not None
    assert rate > 1.0
