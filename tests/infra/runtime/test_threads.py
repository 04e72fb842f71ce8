"""Threads that stand back: by Linux's own word for it, and by what it is for."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.runtime.threads import stand_back

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux's scheduling policies")


def _policy() -> int:
    return os.sched_getscheduler(0)


def test_a_thread_stands_back_with_those_it_starts_and_alone() -> None:
    def work() -> list[int]:
        before = _policy()
        stand_back()
        with ThreadPoolExecutor(1) as own:
            return [before, _policy(), own.submit(_policy).result()]

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(work).result()
    assert found == [_policy(), os.SCHED_BATCH, os.SCHED_BATCH]
    assert _policy() == os.SCHED_OTHER, "the thread that started it"


def test_where_it_is_forbidden_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    stand_back()


def test_being_woken_it_does_not_interrupt() -> None:
    """A thread that is woken a thousand times on the core of the one that wakes it: interruptions of that one."""
    core = min(os.sched_getaffinity(0))

    def interruptions(*, back: bool) -> int:
        asked, answered = threading.Semaphore(0), threading.Semaphore(0)

        def waker() -> int:
            os.sched_setaffinity(0, {core})
            before = _interrupted()
            for _ in range(1000):
                asked.release()
                sum(range(2000))
                answered.acquire()
            return _interrupted() - before

        def woken() -> None:
            os.sched_setaffinity(0, {core})
            if back:
                stand_back()
            for _ in range(1000):
                asked.acquire()
                answered.release()

        with ThreadPoolExecutor(2) as pool:
            other = pool.submit(woken)
            found = pool.submit(waker).result()
            other.result()
        return found

    assert interruptions(back=True) < 300, "two thousand and more where it interrupts"


def _interrupted() -> int:
    """How often the calling thread was taken off its core while it ran."""
    with open(f"/proc/self/task/{threading.get_native_id()}/status") as status:
        (found,) = [line for line in status if line.startswith("nonvoluntary_ctxt_switches")]
    return int(found.split()[1])
