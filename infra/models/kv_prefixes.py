"""Keys and values of answers that ended, kept for the next turn of their conversation.

What was computed for tokens holds for every text that begins with the same tokens under the same weights: entries are
found by key (weights, flow, conversation) and by token ids, never by text. A turn that continues an answer whose text
is tokenized otherwise than it was drawn reuses what comes before the first difference. The least recently used is given
up first.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infra.models.kv_tables import Lane


@dataclass(frozen=True, eq=False)
class Prefix:
    """`keys`, `values` [layers, heads, tokens, width] of `tokens`."""

    tokens: tuple[int, ...]
    keys: Tensor
    values: Tensor

    @property
    def size(self) -> int:
        """Bytes."""
        return self.keys.nbytes + self.values.nbytes


class KvPrefixes:
    """Prefixes by key, of `limit_bytes` together at most. Used by one thread."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._kept: OrderedDict[tuple[Hashable, int], Prefix] = OrderedDict()
        self._by_key: dict[Hashable, list[int]] = {}
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: Hashable, tokens: Sequence[int], lane: Lane) -> None:
        """Keep what `lane` holds of `tokens`; what is a beginning of it is given up. Nothing if it is larger than all
        that may be kept."""
        count = min(lane.length, len(tokens))
        own = tuple(tokens[:count])
        size = count * lane.table.shape.token_bytes
        if not count or size > self.limit_bytes:
            return
        for number in list(self._by_key.get(key, ())):
            old = self._kept[key, number].tokens
            if old == own[: len(old)]:
                self._drop((key, number))
        while self.held_bytes + size > self.limit_bytes:
            self.drop_oldest()
        table, slot = lane.table, lane.slot
        keys, values = (torch.stack([t[slot, :, :count] for t in ts]) for ts in (table.keys, table.values))
        self._numbers += 1
        self._kept[key, self._numbers] = Prefix(own, keys, values)
        self._by_key.setdefault(key, []).append(self._numbers)
        self.held_bytes += size

    def longest(self, key: Hashable, tokens: Sequence[int]) -> tuple[Prefix | None, int]:
        """The prefix kept under `key` that shares the most tokens with `tokens` from the beginning, and how many."""
        best, most = None, 0
        for number in self._by_key.get(key, ()):
            shared = common(self._kept[key, number].tokens, tokens)
            if shared > most:
                best, most = number, shared
        if best is None:
            return None, 0
        self._kept.move_to_end((key, best))
        return self._kept[key, best], most

    def forget(self, belongs: Any) -> None:
        """Give up every entry whose key begins with `belongs`."""
        for key in [key for key in self._by_key if isinstance(key, tuple) and key[0] is belongs]:
            for number in list(self._by_key[key]):
                self._drop((key, number))

    def drop_oldest(self) -> int:
        """Give up the least recently used entry; the bytes it held, 0 when there is none."""
        return self._drop(next(iter(self._kept))) if self._kept else 0

    def _drop(self, place: tuple[Hashable, int]) -> int:
        prefix = self._kept.pop(place)
        key, number = place
        self._by_key[key].remove(number)
        if not self._by_key[key]:
            del self._by_key[key]
        self.held_bytes -= prefix.size
        return prefix.size


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences share from the beginning."""
    shortest = min(len(one), len(other))
    return next((place for place in range(shortest) if one[place] != other[place]), shortest)


def fill(lane: Lane, prefix: Prefix, count: int) -> None:
    """Begin `lane` with the first `count` tokens of a prefix."""
    for layer, (keys, values) in enumerate(zip(prefix.keys, prefix.values, strict=True)):
        lane.table.keys[layer][lane.slot, :, :count] = keys[:, :count]
        lane.table.values[layer][lane.slot, :, :count] = values[:, :count]
    lane.length = count


def copy_lane(source: Lane, lane: Lane, count: int) -> None:
    """Begin `lane` with the first `count` tokens of a running row."""
    for layer in range(lane.table.shape.layers):
        for into, out in ((lane.table.keys, source.table.keys), (lane.table.values, source.table.values)):
            into[layer][lane.slot, :, :count] = out[layer][source.slot, :, :count]
    lane.length = count
