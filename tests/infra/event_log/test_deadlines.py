"""Futures that cannot hang."""

import time
from collections.abc import Iterator

import pytest

from infra.event_log import EventLogUnavailable, Position
from infra.event_log.deadlines import Acknowledgement, Deadlines, fail, failed, resolve
from tests.fixtures.helpers import wait_until

POSITIONS = [Position(topic="t", partition=0, offset=7)]


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    watching = Deadlines(0.2)
    yield watching
    watching.stop()


def test_a_future_fails_after_the_timeout_and_its_watcher_is_told(deadlines: Deadlines) -> None:
    told: list[str] = []
    late, kept = Acknowledgement(), Acknowledgement()
    started = time.monotonic()
    deadlines.watch(kept, lambda: told.append("kept"))
    deadlines.watch(late, lambda: told.append("late"))
    resolve(kept, POSITIONS)
    assert isinstance(late.exception(30), EventLogUnavailable)
    assert time.monotonic() - started >= 0.2
    assert kept.result(0) == POSITIONS
    wait_until(lambda: told == ["late"])


def test_an_acknowledgement_after_the_failure_changes_nothing(deadlines: Deadlines) -> None:
    future = Acknowledgement()
    deadlines.watch(future)
    assert isinstance(future.exception(30), EventLogUnavailable)
    resolve(future, POSITIONS)
    assert not fail(future, ValueError("second"))
    assert isinstance(future.exception(0), EventLogUnavailable)


def test_stopping_fails_what_still_waits() -> None:
    deadlines = Deadlines(60)
    future = Acknowledgement()
    deadlines.watch(future)
    deadlines.stop()
    with pytest.raises(EventLogUnavailable, match="closed"):
        future.result(0)


def test_a_failed_future_has_failed() -> None:
    assert isinstance(failed(EventLogUnavailable("x")).exception(0), EventLogUnavailable)
