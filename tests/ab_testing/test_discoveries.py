"""The stream of challengers, read off a ledger; thresholds by hand."""

import math
from typing import Any

import pytest

from ab_testing.discoveries import Discovery, allowance, mean_log_e, stream_of
from ab_testing.ledger import next_decision
from infra.contracts import Decision
from infra.settings.ab_testing import AbTestingSettings

RULES = AbTestingSettings(fdr_procedure="e_lond")
HARMONIC = sum(t**-0.5 for t in range(1, 366))
"""36.77: what the budget is divided by."""


def ledger(*rows: tuple[str, str, dict[str, Any]]) -> list[Decision]:
    found: list[Decision] = []
    for experiment, kind, evidence in rows:
        found.append(
            next_decision(
                found[-1] if found else None,
                project="p",
                experiment_id=experiment,
                kind=kind,  # type: ignore[arg-type]
                reason="",
                evidence=evidence,
                config_hash="",
                watermark=0.0,
                decided_at=float(len(found)),
            )
        )
    return found


CHALLENGE = {"experiment_kind": "challenge"}


def entry(position: int, log_e: float | None, promoted: bool = False) -> dict[str, object]:
    return {"position": position, "log_e": log_e, "promoted": promoted}


STORY = ledger(
    ("one", "start", CHALLENGE),
    ("one", "hold", {"code": "undecided"}),
    ("one", "stop", {"stream": [entry(1, -1.5)]}),
    ("two", "start", CHALLENGE),
    ("two", "promote", {"stream": [entry(2, 8.0, True)]}),
    ("held", "start", {"experiment_kind": "holdback"}),
    ("", "rollback", {"code": "reverted"}),
    ("three", "start", CHALLENGE),
    ("three", "drop", {"stream": [entry(4, -0.3)]}),
    ("held", "stop", {"code": "superseded"}),
    ("three", "abort", {"stream": [entry(3, 0.7)]}),
    ("four", "start", CHALLENGE),
)


def test_every_ended_challenge_counts_in_order_and_nothing_else() -> None:
    assert stream_of(STORY) == [
        Discovery(1, -1.5, False),
        Discovery(2, 8.0, True),
        Discovery(3, 0.7, False),
        Discovery(4, -0.3, False),
    ]
    assert stream_of(STORY, since=3.0) == [Discovery(1, 8.0, True), Discovery(2, 0.7, False), Discovery(3, -0.3, False)]
    assert stream_of([]) == []


def test_an_end_that_says_nothing_of_its_evidence_counts_as_none() -> None:
    rows = ledger(("one", "start", CHALLENGE), ("one", "stop", {"code": "champion_changed"}))
    assert stream_of(rows) == [Discovery(1, None, False)]


def test_thresholds_by_hand() -> None:
    """e-LOND: 1 / (rate gamma_t (discoveries + 1)), gamma_t = t^-1/2 / 36.77."""
    first = allowance([], RULES)
    assert (first.position, first.procedure) == (1, "e_lond")
    assert first.log_threshold == pytest.approx(math.log(HARMONIC / 0.1))
    assert first.spent == pytest.approx(1 / HARMONIC)
    fifth = allowance(stream_of(STORY), RULES)
    assert fifth.position == 5
    assert fifth.log_threshold == pytest.approx(math.log(HARMONIC * math.sqrt(5) / 0.1 / 2))
    assert allowance(stream_of(STORY), RULES, peer=2).log_threshold == pytest.approx(
        math.log(HARMONIC * math.sqrt(7) / 0.1 / 2)
    )


def test_nothing_is_left_after_the_horizon() -> None:
    short = RULES.model_copy(update={"fdr_horizon": 2})
    assert math.isfinite(allowance([Discovery(1, 0.0, False)], short).log_threshold)
    spent = allowance([Discovery(1, 0.0, False), Discovery(2, None, False)], short)
    assert spent.log_threshold == math.inf
    assert spent.document()["log_threshold"] is None
    alone = RULES.model_copy(update={"fdr_procedure": "none", "fdr_horizon": 1})
    assert allowance([Discovery(1, 0.0, False)], alone).log_threshold == 0.0


@pytest.mark.parametrize("procedure", ["closed_e_lond", "e_lord"])
def test_other_procedures_take_the_same_stream(procedure: str) -> None:
    rules = RULES.model_copy(update={"fdr_procedure": procedure})
    stream = [*stream_of(STORY), Discovery(5, None, False)]
    found = allowance(stream, rules)
    assert 0 < found.log_threshold < 20
    if procedure == "closed_e_lond":
        assert found.log_threshold <= allowance(stream, RULES).log_threshold + 1e-12


def test_the_mean_of_e_values_is_one() -> None:
    """(e^2 + e^-1) / 2 by hand; one unknown makes the mean unknown; no overflow."""
    assert mean_log_e([2.0, -1.0]) == pytest.approx(math.log((math.e**2 + 1 / math.e) / 2))
    assert mean_log_e([2.0, None]) is None
    assert mean_log_e([2.0, math.nan]) is None
    assert mean_log_e([900.0, 900.0]) == pytest.approx(900.0)
    assert mean_log_e([]) is None
    assert mean_log_e([-math.inf, -math.inf]) == -math.inf


def test_e_lord_is_refused_with_several_candidates() -> None:
    assert AbTestingSettings(fdr_procedure="e_lord", max_candidates=1).fdr_procedure == "e_lord"
    assert AbTestingSettings(fdr_procedure="e_lond", max_candidates=2).max_candidates == 2
    with pytest.raises(ValueError, match="'e_lord' spends what earlier discoveries earn"):
        AbTestingSettings(fdr_procedure="e_lord", max_candidates=2)
