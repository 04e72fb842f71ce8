"""Peak resident memory of the demo and everything it started, sampled twice a second where that costs little."""

import os
import threading
import time

REST, LONGEST_REST_SECONDS = 30, 5.0
"""How many times as long as a look took is waited before the next, and seconds at most: it walks the page tables of
every process, a tenth of a second for some gigabytes, and whoever asks for memory meanwhile waits for it."""


class MemoryWatch:
    """Sums the proportional set size (shared pages counted once) of this process and all its descendants."""

    def __init__(self, interval_seconds: float = 0.5) -> None:
        self.peak_bytes = 0
        self._interval = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _watch(self) -> None:
        taken = 0.0
        while not self._stop.wait(max(self._interval, min(REST * taken, LONGEST_REST_SECONDS))):
            begun = time.perf_counter()
            self.peak_bytes = max(self.peak_bytes, family_bytes(os.getpid()))
            taken = time.perf_counter() - begun


def family_bytes(root: int) -> int:
    """Proportional set size in bytes of process `root` and its descendants; processes that end meanwhile count 0."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = _parent(int(entry))
            if parent is not None:
                parents[int(entry)] = parent
    family = {root}
    while True:
        grown = family | {pid for pid, parent in parents.items() if parent in family}
        if grown == family:
            return sum(_pss(pid) for pid in family)
        family = grown


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _pss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
            return next((int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:")), 0)
    except OSError:
        return 0
