"""The verifier's process: killed at its deadline, started again, and honest about its failures."""

import math
import time
from pathlib import Path

import pytest

from policy_update.rewards import child
from policy_update.rewards.child import VerifierChild, VerifierFailed

SLOW = {"kind": "regex", "text": "a" * 40, "pattern": "(a+)+b", "full": True}
"""Exponential in the length of the text: for practical purposes for ever."""


def fine(text: str = "yes") -> dict[str, object]:
    return {"kind": "regex", "text": text, "pattern": "ye?s", "full": False}


def test_an_endless_answer_says_nothing_and_the_next_is_judged() -> None:
    asked = VerifierChild(0.3)
    assert asked.ask(fine()) == 1.0
    started = time.monotonic()
    assert math.isnan(asked.ask(SLOW))
    assert time.monotonic() - started < 10.0, "its pattern alone would take years"
    assert asked.timeouts == 1
    assert [asked.ask(fine()), asked.ask(fine("no"))] == [1.0, 0.0]
    asked.close()


def test_every_endless_answer_has_its_own_short_time_the_first_after_a_start_too() -> None:
    asked = VerifierChild(0.2)
    started = time.monotonic()
    assert all(math.isnan(asked.ask(SLOW)) for _ in range(2))
    assert time.monotonic() - started < child.START_SECONDS / 2, "a start's patience is not an answer's"
    assert asked.timeouts == 2
    asked.close()


def test_an_answer_that_kills_the_verifier_says_nothing_and_the_next_is_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask = 'if not request.get("prepare"):'
    die = 'if request.get("text") == "deadly":\n        os._exit(9)\n    '
    deadly = child.PROGRAM.read_text().replace(ask, die + ask)
    assert die in deadly
    monkeypatch.setattr(child, "PROGRAM", tmp_path / "program.py")
    child.PROGRAM.write_text(deadly)
    asked = VerifierChild(5.0)
    assert math.isnan(asked.ask(fine("deadly")))
    assert asked.ask(fine()) == 1.0
    asked.close()


def test_a_failure_on_one_answer_says_nothing() -> None:
    asked = VerifierChild(5.0)
    assert math.isnan(asked.ask({"kind": "regex", "text": "x", "pattern": "(", "full": False}))
    assert asked.ask(fine("y" * 300_000 + "yes")) == 1.0, "longer than a pipe holds"
    asked.close()


def test_a_child_that_cannot_run_stops_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(child, "PROGRAM", "/nowhere/verifier.py")
    with pytest.raises(VerifierFailed, match="by hand to see why"):
        VerifierChild(5.0).ask(fine())


def test_the_process_ends_with_its_asker() -> None:
    asked = VerifierChild(5.0)
    asked.ask(fine())
    process = asked._process
    assert process is not None
    del asked
    assert process.poll() is not None
