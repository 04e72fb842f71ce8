"""Does an effect keep its sign later on, and without the most active people? Pure, in a few hundred bytes."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

PLACES = 12
"""Sums kept of earlier times. When all are taken every second one goes, so their distance in people doubles."""

_SUMS = 4
_HEAD = struct.Struct("<I")
_SINGLE = struct.Struct(f"<{_SUMS}f")

Sums = tuple[float, float, float, float]
"""Sum of values and of denominators (people, for a plain mean) of the challenger, then of the control."""


def difference(sums: Sums) -> float | None:
    """Challenger minus control, a ratio of sums each; None while an arm has nothing."""
    value_a, whole_a, value_b, whole_b = sums
    return value_a / whole_a - value_b / whole_b if whole_a > 0 and whole_b > 0 else None


def without(sums: Sums, people: Iterable[tuple[str, float, float]], candidate: str) -> Sums:
    """The sums less those of some people: (arm, value, denominator)."""
    left = list(sums)
    for arm, value, denominator in people:
        at = 0 if arm == candidate else 2
        left[at] -= value
        left[at + 1] -= denominator
    return left[0], max(left[1], 0.0), left[2], max(left[3], 0.0)


@dataclass
class LaterPeople:
    """Running sums at up to `PLACES` earlier times, so that those of the later people can be told at any time.

    `stride` people lie between one place and the next. At any time the later part is at least half of the people, and
    at most two thirds once there are `PLACES` people. Sums are kept in single precision.
    """

    stride: int = 1
    places: list[Sums] = field(default_factory=list)

    def update(self, people: int, sums: Sums) -> None:
        """After `people` people (each told once, in order), who come to `sums`."""
        if people % self.stride:
            return
        self.places.append(_SINGLE.unpack(_SINGLE.pack(*sums)))  # as it will be kept: a state read back is the same
        if len(self.places) == PLACES:
            self.places = self.places[1::2]
            self.stride *= 2

    def later(self, people: int, sums: Sums) -> Sums:
        """Sums of the later half of all `people`, or a little more."""
        before = people // 2 // self.stride
        if before == 0:
            return sums
        start = self.places[before - 1]
        return sums[0] - start[0], sums[1] - start[1], sums[2] - start[2], sums[3] - start[3]

    def pack(self) -> bytes:
        """The state as bytes."""
        numbers = [number for place in self.places for number in place]
        return _HEAD.pack(self.stride) + struct.pack(f"<{len(numbers)}f", *numbers)

    @classmethod
    def unpack(cls, packed: bytes) -> "LaterPeople":
        """The state that was packed."""
        numbers = struct.unpack_from(f"<{(len(packed) - _HEAD.size) // 4}f", packed, _HEAD.size)
        places = [numbers[at : at + _SUMS] for at in range(0, len(numbers), _SUMS)]
        return cls(_HEAD.unpack_from(packed)[0], [(a, b, c, d) for a, b, c, d in places])
