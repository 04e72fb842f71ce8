"""SIGKILL at any moment: nothing acknowledged is lost, nothing is there twice, and partitions find a new reader."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.event_log.embedded.log import SqliteEventLog
from tests.conformance.logs import join, read
from tests.fixtures.helpers import sigkill, wait_until
from tests.infra.event_log.embedded.conftest import OpenLog

ROOT = Path(__file__).parents[4]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts a child program of this folder on the test's log."""
    children: list[subprocess.Popen[str]] = []

    def start_it(program: str, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", f"tests.infra.event_log.embedded.{program}", str(path), *arguments]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        return children[-1]

    yield start_it
    for child in children:
        sigkill(child)


def _killed_after(child: "subprocess.Popen[str]", lines: int, pause: float) -> list[tuple[str, int, int]]:
    """Read some acknowledgements, wait a little, kill, and return all that were printed whole."""
    assert child.stdout is not None
    printed = [child.stdout.readline() for _ in range(lines)]
    time.sleep(pause)
    child.kill()
    printed += child.stdout.readlines()
    whole = [line.split() for line in printed if line.endswith("\n")]
    return [(value, int(partition), int(offset)) for value, partition, offset in whole]


def _stored(log: SqliteEventLog) -> dict[tuple[int, int], str]:
    total = 0
    consumer = log.consumer("t", f"check-{random.random()}")
    try:
        join([consumer], 4)
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        total = sum(consumer.end_offsets().values())
        records = read(consumer, total)
    finally:
        consumer.close()
    assert len(records) == total  # offsets are contiguous: as many records as the ends say
    return {(one.partition, one.offset): one.value.rstrip(b"\0").decode() for one in records}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_acknowledged_before_a_kill_is_there_once(open_log: OpenLog, start: Start, seed: int) -> None:
    log = open_log()
    choose = random.Random(seed)
    writers = [start("appending_child", "t", name) for name in ("a", "b")]
    acknowledged = [
        line for writer in writers for line in _killed_after(writer, choose.randrange(1, 60), choose.random() / 5)
    ]
    stored = _stored(log)
    for value, partition, offset in acknowledged:
        assert stored[partition, offset] == value
    assert len(set(stored.values())) == len(stored)  # no value has two places
    assert {value for value, _, _ in acknowledged} <= set(stored.values())
    assert len(acknowledged) > 1
    # The log goes on where the dead left it.
    again = start("appending_child", "t", f"after-{seed}")
    value, partition, offset = _killed_after(again, 1, 0)[0]
    assert _stored(log)[partition, offset] == value


def test_a_killed_members_partitions_are_taken_over_without_waiting_for_its_session(
    open_log: OpenLog, start: Start
) -> None:
    log = open_log(session_timeout_seconds=3600.0)
    child = start("consuming_child", "t", "g")
    assert child.stdout is not None
    assert child.stdout.readline() == "[0, 1, 2, 3]\n"
    heir = log.consumer("t", "g")
    assert heir.poll(1, 0.2) == []
    assert heir.assignment() == frozenset()  # the child lives, and has not polled again to give any back
    child.kill()
    child.wait(60)
    wait_until(lambda: heir.poll(1, 0.1) == [] and len(heir.assignment()) == 4, 30.0, "the takeover")
    heir.close()


def test_a_silent_member_loses_its_partitions_after_the_session_timeout_and_notices(open_log: OpenLog) -> None:
    log = open_log(session_timeout_seconds=0.5)
    sleeper, other = log.consumer("t", "g"), log.consumer("t", "g")
    join([sleeper], 4)
    assert sleeper.newly_assigned() == {0, 1, 2, 3}
    started = time.monotonic()
    wait_until(lambda: other.poll(1, 0.05) == [] and len(other.assignment()) == 4, 5.0, "the takeover")
    assert time.monotonic() - started > 0.3
    join([sleeper, other], 4)
    # What it has now is new to it: the other may have read on meanwhile.
    assert sleeper.newly_assigned() == sleeper.assignment()
    sleeper.close()
    other.close()
