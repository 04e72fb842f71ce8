"""Memory of a family of processes: children count, and looking takes a small share of the time."""

import os
import subprocess
import sys
import time

import pytest

from plaudit.demo import memory
from plaudit.demo.memory import MemoryWatch, family_bytes

HELD = 64 * 1024 * 1024


def test_a_childs_memory_counts() -> None:
    before = family_bytes(os.getpid())
    code = f"held = bytearray(b'x') * {HELD}; print('held', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"held\n"
        assert family_bytes(os.getpid()) - before > 0.9 * HELD
    finally:
        child.communicate(b"\n")
    assert family_bytes(child.pid) == 0  # gone


@pytest.mark.parametrize(("takes", "rests"), [(0.02, 30 * 0.02), (0.5, 1.0)])
def test_the_peak_stays_and_looking_rests(takes: float, rests: float, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[float] = []

    def falling(_: int) -> int:
        begun.append(time.monotonic())
        time.sleep(takes)
        return 100 - len(begun)

    monkeypatch.setattr(memory, "LONGEST_REST_SECONDS", 1.0)
    monkeypatch.setattr(memory, "family_bytes", falling)
    with MemoryWatch(0.001) as watch:
        deadline = time.monotonic() + 30
        while len(begun) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert rests <= begun[1] - begun[0] - takes < rests + 10, "in proportion, up to the longest"
    assert watch.peak_bytes == 99, "the first was the highest"
