"""Products on one thread, and nobody else's number of threads changed by it."""

import os
import threading
import time

import pytest
import torch

from infra.models.lean import threads
from infra.models.lean.threads import OneThread


@pytest.fixture(autouse=True)
def _two() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_within_and_as_before_after_it() -> None:
    assert threads._setter() is not None, "torch's OpenMP is found where there is one"
    with OneThread():
        assert torch.get_num_threads() == 1
        with OneThread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="x"), OneThread():
        raise ValueError("x")
    assert torch.get_num_threads() == 2


def test_a_thread_that_begins_meanwhile_has_all_of_them() -> None:
    found: list[int] = []
    with OneThread():
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert found == [2]


def test_within_it_no_other_thread_works() -> None:
    """Seen in the CPU time of the process: two threads would take up to twice the time that passes."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core only")
    x = torch.randn(600, 600)
    with OneThread():
        x @ x
        times = os.times()
        mine = time.thread_time()
        for _ in range(20):
            x @ x
        mine, whole = time.thread_time() - mine, sum(os.times()[:2]) - sum(times[:2])
    assert whole <= mine + 0.1


def test_without_openmp_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_setter", lambda: None)
    with OneThread():
        assert torch.get_num_threads() == 2
