"""What answers leave behind is freed at once: the collector's pauses would be everybody's."""

import gc
from typing import Any

import pytest

from tests.serving.conftest import Served, wait_until


def left_by(served: Served, **more: Any) -> set[str]:
    """Types of the room's objects that only the collector could free after some answers."""
    served.chat(**more).raise_for_status()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            served.chat(**more).raise_for_status()
        wait_until(lambda: not served.server.server_state.tasks)
        gc.collect()
        return {type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith("serving.")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_plain_answers_leave_nothing_to_the_collector(served: Served) -> None:
    assert left_by(served) == set()


def test_an_answer_whose_client_is_watched_leaves_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.answering.PATIENCE_SECONDS", 0.0)
    assert left_by(served, max_tokens=64) == set()


def test_streams_leave_nothing_to_the_collector(served: Served) -> None:
    assert left_by(served, stream=True) == set()
