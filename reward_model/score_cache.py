"""Scores by the content of what was scored: an answer that comes again costs a hash."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.contracts import Message

Floats = NDArray[np.float64]


def score_key(precision: str, messages: Sequence[Message], answer: str) -> bytes:
    """Equal only for equal content computed in equal precision. Roles, contents and answer are kept apart."""
    parts = [precision, [(message.role, message.content) for message in messages], answer]
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).digest()


class ScoreCache:
    """The last `rows` scores of one reward model, least recently used thrown out first. Safe between threads.

    It belongs to one model and dies with it, so nothing in it can be of other weights.
    """

    def __init__(self, rows: int = 50_000) -> None:
        self._rows = rows
        self._known: OrderedDict[bytes, Floats] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def fill(self, keys: Sequence[bytes], compute: Callable[[list[int]], Floats], shape: tuple[int, ...]) -> Floats:
        """[N, *shape]: the scores of N keys; `compute` is called once, with one index for each key that is missing."""
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        found = self._read(first)
        missing = sorted(i for key, i in first.items() if key not in found)
        if missing:
            fresh = {keys[i]: row for i, row in zip(missing, compute(missing), strict=True)}
            found.update(fresh)
            self._write(fresh)
        with self._lock:
            self.hits += len(keys) - len(missing)
            self.misses += len(missing)
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, *shape))

    def _read(self, keys: dict[bytes, int]) -> dict[bytes, Floats]:
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
            for key in found:
                self._known.move_to_end(key)
            return found

    def _write(self, fresh: dict[bytes, Floats]) -> None:
        with self._lock:
            self._known.update((key, np.array(row)) for key, row in fresh.items())
            while len(self._known) > self._rows:
                self._known.popitem(last=False)
