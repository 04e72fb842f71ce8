import signal
import subprocess
import sys
import threading
import time

import pytest

from infra.runtime import Shutdown
from tests.fixtures import wait_until

_PROGRAM = """
import sys, time
from infra.runtime import Shutdown
shutdown = Shutdown(deadline_seconds=5)
shutdown.install()
shutdown.add("first", lambda: print("first closed", flush=True))
shutdown.add("second", lambda: (time.sleep(float(sys.argv[1])), print("second closed", flush=True)))
print("up", flush=True)
shutdown.wait()
sys.exit(0 if shutdown.close() else 1)
"""


def _start(seconds: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_in_reverse_order(number: signal.Signals) -> None:
    process = _start(0.0)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert [line for line in said.splitlines() if line.endswith(" closed")] == ["second closed", "first closed"]
    assert process.returncode == 0


def test_a_second_signal_ends_at_once() -> None:
    process = _start(60.0)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    process.communicate()


def test_a_signal_that_a_supervisor_sends_twice_is_one() -> None:
    process = _start(0.1)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)  # so that the kernel does not make one of them
    said, _ = process.communicate(timeout=60)
    assert "first closed" in said
    assert process.returncode == 0


def test_one_that_hangs_or_fails_keeps_nobody_from_their_turn() -> None:
    shutdown = Shutdown(deadline_seconds=0.3)
    closed: list[str] = []
    release = threading.Event()
    shutdown.add("first", lambda: closed.append("first"))
    shutdown.add("hangs", lambda: release.wait(30) and None)
    shutdown.add("fails", lambda: 1 / 0 and None)
    started = time.monotonic()
    assert shutdown.close() is False
    assert time.monotonic() - started < 20, "who hangs would go on for 30 s"
    assert closed == ["first"]
    release.set()


def test_closing_twice_closes_once() -> None:
    shutdown = Shutdown()
    closed: list[int] = []
    shutdown.add("one", lambda: closed.append(1))
    assert shutdown.close()
    assert shutdown.close()
    assert closed == [1]


def test_a_request_from_inside_wakes_the_waiter() -> None:
    shutdown = Shutdown()
    assert not shutdown.wait(0.01)
    threading.Timer(0.05, shutdown.request).start()
    assert shutdown.wait(60)
    wait_until(shutdown.stop.is_set)
