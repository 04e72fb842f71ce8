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


def test_the_peak_stays() -> None:
    with MemoryWatch(0.01) as watch:
        deadline = time.monotonic() + 30
        while not watch.peak_bytes and time.monotonic() < deadline:
            time.sleep(0.01)
    assert watch.peak_bytes > 1024 * 1024


def test_looking_rests_in_proportion_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[float] = []

    def slow(_: int) -> int:
        begun.append(time.monotonic())
        time.sleep(0.05)
        return len(begun)

    monkeypatch.setattr(memory, "family_bytes", slow)
    with MemoryWatch(0.001) as watch:
        deadline = time.monotonic() + 30
        while len(begun) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert begun[1] - begun[0] >= memory.REST * 0.05
    assert watch.peak_bytes == len(begun)
