"""The newest latencies of an adapter, kept by size: a percentile of them is asked for with every answer."""

from bisect import bisect_left, insort
from collections import deque


class Latencies:
    """At most `most` of them; the oldest is forgotten first."""

    __slots__ = ("_by_age", "_by_size", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_age: deque[float] = deque()
        self._by_size: list[float] = []

    def __len__(self) -> int:
        return len(self._by_size)

    def append(self, seconds: float) -> None:
        """The newest one."""
        if len(self._by_age) == self._most:
            del self._by_size[bisect_left(self._by_size, self._by_age.popleft())]
        self._by_age.append(seconds)
        insort(self._by_size, seconds)

    def clear(self) -> None:
        """Forget them."""
        self._by_age.clear()
        self._by_size.clear()

    def ranked(self, rank: int) -> float:
        """The one with `rank` smaller ones before it."""
        return self._by_size[rank]
