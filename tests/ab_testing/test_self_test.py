"""Injected effects are found as what they are, and a fault in the path is found by that."""

from dataclasses import replace
from typing import Any

import pytest

from ab_testing import self_test as module
from ab_testing.evidence import MetricEvidence
from ab_testing.evidence_state import MetricState
from ab_testing.self_test import failing, self_test
from infra.settings import Settings
from infra.settings.ab_testing import AbTestingSettings, MetricSettings

EVERY_KIND = (
    MetricSettings(name="love", objective="love", role="goal"),
    MetricSettings(name="liked", objective="love", role="goal", aggregate="ratio", missing="zero", cap=10),
    MetricSettings(name="shares", objective="share", role="goal", aggregate="sum", missing="zero", cap=5),
    MetricSettings(name="complaints", objective="harm", role="goal", direction="lower", aggregate="mean"),
    MetricSettings(name="back", objective="return", role="guardrail"),
    MetricSettings(name="rate", objective="feedback", role="guardrail", direction="lower", missing="zero"),
)

RULES = AbTestingSettings()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_kind_of_metric_is_found_in_either_direction(seed: int) -> None:
    found = self_test(AbTestingSettings(metrics=EVERY_KIND), seed)
    assert (found.checked, found.failures) == (12, ())
    assert self_test(AbTestingSettings(), seed).failures == ()


def test_people_drawn_by_bad_luck_veto_nothing() -> None:
    """Of the people of seed 29 those of the better arm complain more at first: a rollback, as a sound test may err."""
    assert module._course(module._quick(RULES), RULES.metrics[0], False, 29)[0].kind == "rollback"
    assert self_test(RULES, 29).failures == ()


def test_a_large_cap_vetoes_nothing() -> None:
    copies = MetricSettings(name="copies", objective="reuse", role="goal", aggregate="sum", missing="zero", cap=500)
    assert self_test(AbTestingSettings(metrics=(copies, *RULES.metrics))).failures == ()


def test_it_is_run_once_for_a_configuration(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(module, "self_test", lambda rules: runs.append(rules) or self_test(rules))
    assert failing(settings) == failing(settings) == ""
    assert len(runs) == 1
    changed = settings.model_copy(update={"project": "another"})
    assert failing(changed) == ""
    assert len(runs) == 2


def _swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline is taken for the challenger."""
    update = MetricState.update

    def exchanged(self: MetricState, arm: str, *rest: Any) -> None:
        update(self, "control" if arm == "challenger" else "challenger", *rest)

    monkeypatch.setattr(MetricState, "update", exchanged)


def _inverted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One direction is read the wrong way round."""
    begin = MetricState.begin

    def inverted(rules: AbTestingSettings, metric: MetricSettings) -> MetricState:
        other = "lower" if metric.direction == "higher" else "higher"
        wrong = metric.model_copy(update={"direction": other}) if metric.name == "harm" else metric
        return begin(rules, wrong)

    monkeypatch.setattr(MetricState, "begin", inverted)


def _deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Harm is never seen."""
    evidence = MetricState.evidence

    def deaf(self: MetricState, phase: int) -> MetricEvidence:
        return replace(evidence(self, phase), log_e_worse=0.0)

    monkeypatch.setattr(MetricState, "evidence", deaf)


@pytest.mark.parametrize(("fault", "least"), [(_swapped, 6), (_inverted, 2), (_deaf, 3)])
def test_known_faults_are_found(monkeypatch: pytest.MonkeyPatch, fault: Any, least: int) -> None:
    fault(monkeypatch)
    found = self_test(AbTestingSettings(self_test_people=200))
    assert len(found.failures) >= least
    assert all("made" in failure for failure in found.failures)
