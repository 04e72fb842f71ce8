"""Products on one thread, and nobody else's number of threads changed by it."""

import os
import threading
import time

import pytest
import torch

from infra.models.lean import threads
from infra.models.lean.threads import OneThread
from infra.models.lean.voices import Beside


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


def test_small_products_of_an_adapter_take_no_other_thread() -> None:
    """Seen in the CPU time of the process: a second thread would nearly double it."""
    beside = Beside.of(torch.randn(48, 576).bfloat16(), torch.randn(960, 48).bfloat16())
    if beside.layout is None or len(os.sched_getaffinity(0)) < 2:
        return  # not computed by oneDNN, or by one thread anyway
    out, x = torch.zeros(16, 960).bfloat16(), torch.randn(16, 576).bfloat16()
    beside.add_to(out, x)
    whole, mine = time.process_time(), time.thread_time()
    while time.thread_time() - mine < 0.5:
        beside.add_to(out, x)
    assert time.process_time() - whole <= 1.3 * (time.thread_time() - mine)


def test_without_openmp_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_setter", lambda: None)
    with OneThread():
        assert torch.get_num_threads() == 2
