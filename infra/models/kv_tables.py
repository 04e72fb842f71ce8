"""Keys and values of running rows, made beforehand in tables of one capacity each, under one limit of memory.

A row takes a place whose capacity (a power of two) holds its prompt and the longest answer it may give, so no row that
runs is ever put out for want of room. Rows of one table lie side by side: what leaves is replaced by the last one, and
a step reads them as one tensor without gathering. Tables grow as rows come, and give back what stands empty when
another needs it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = 128
"""Tokens of the smallest capacity."""


@dataclass(frozen=True)
class KvShape:
    """What one token costs: `layers` times keys and values of `heads` x `width` numbers."""

    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return self.layers * 2 * self.heads * self.width * self.dtype.itemsize


class Lane:
    """The place of one row: `slot` of `table`, of which `length` tokens are computed."""

    __slots__ = ("length", "slot", "table")

    def __init__(self, table: "KvTable", slot: int) -> None:
        self.table = table
        self.slot = slot
        self.length = 0


class KvTable:
    """Rows of one capacity. `keys[l]`, `values[l]` [rows, heads, capacity, width]; `lanes` by slot."""

    def __init__(self, shape: KvShape, capacity: int) -> None:
        self.shape = shape
        self.capacity = capacity
        self.rows = 0
        self.lanes: list[Lane] = []
        self.keys: list[Tensor] = [self._empty(0) for _ in range(shape.layers)]
        self.values: list[Tensor] = [self._empty(0) for _ in range(shape.layers)]

    @property
    def row_bytes(self) -> int:
        return self.capacity * self.shape.token_bytes

    def resize(self, rows: int) -> None:
        """Room for `rows` rows, at least those in use; layer by layer, so that little is held twice."""
        kept = len(self.lanes)
        for tensors in (self.keys, self.values):
            for index, old in enumerate(tensors):
                new = self._empty(rows)
                new[:kept] = old[:kept]
                tensors[index] = new
        self.rows = rows

    def add(self) -> Lane:
        """Take the next place; there must be one. It is empty: what a row before left there may be NaN, and a NaN that
        is masked still spreads through a product."""
        lane = Lane(self, len(self.lanes))
        for tensors in (self.keys, self.values):
            for tensor in tensors:
                tensor[lane.slot].zero_()
        self.lanes.append(lane)
        return lane

    def remove(self, lane: Lane) -> None:
        """Give a place back; the last row moves into it."""
        last = self.lanes.pop()
        if last is lane:
            return
        for tensors in (self.keys, self.values):
            for tensor in tensors:
                tensor[lane.slot] = tensor[last.slot]
        last.slot = lane.slot
        self.lanes[lane.slot] = last

    def _empty(self, rows: int) -> Tensor:
        # Zeros, not anything: what is masked still passes through a product, where a NaN would spread.
        shape = self.shape
        return torch.zeros(rows, shape.heads, self.capacity, shape.width, dtype=shape.dtype, device=shape.device)


class KvMemory:
    """All tables of an engine. `spare()` is asked to let go of something kept only for speed: the bytes it freed, 0
    when it has nothing; `spare_bytes()` what it holds."""

    def __init__(
        self,
        shape: KvShape,
        *,
        limit_bytes: int,
        longest: int,
        max_rows: int,
        spare: Callable[[], int] = lambda: 0,
        spare_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self.shape = shape
        self.limit_bytes = limit_bytes
        self.longest = longest
        self._max_rows = max_rows
        self._spare = spare
        self._spare_bytes = spare_bytes
        self.tables: dict[int, KvTable] = {}

    def capacity(self, tokens: int) -> int:
        """The capacity that a row of `tokens` takes."""
        capacity = SMALLEST
        while capacity < tokens:
            capacity *= 2
        return max(min(capacity, self.longest), tokens)

    def bytes_for(self, tokens: int) -> int:
        """What a row of `tokens` takes, of `limit_bytes`."""
        return self.capacity(tokens) * self.shape.token_bytes

    def held_bytes(self) -> int:
        return sum(table.rows * table.row_bytes for table in self.tables.values()) + self._spare_bytes()

    def open(self, tokens: int) -> Lane | None:
        """A place for a row of `tokens` at most, or None while the limit leaves none."""
        capacity = self.capacity(tokens)
        table = self.tables.get(capacity) or KvTable(self.shape, capacity)
        if len(table.lanes) == table.rows and not self._grow(table):
            return None
        self.tables[capacity] = table
        return table.add()

    def close(self, lane: Lane) -> None:
        lane.table.remove(lane)

    def room_for(self, size: int) -> bool:
        """Make `size` more bytes fit: by what stands empty, then by what is kept for speed. False when they do not."""
        if self.held_bytes() + size <= self.limit_bytes:
            return True
        for table in self.tables.values():
            if len(table.lanes) < table.rows:
                table.resize(len(table.lanes))
        while self.held_bytes() + size > self.limit_bytes:
            if not self._spare():
                return False
        return True

    def _grow(self, table: KvTable) -> bool:
        """More rows for a full table: twice as many where they fit as things are, else one."""
        more = min(max(1, table.rows), max(1, self._max_rows - table.rows))
        if self.held_bytes() + more * table.row_bytes > self.limit_bytes:
            more = 1
            if not self.room_for(table.row_bytes):
                return False
        table.resize(table.rows + more)
        return True
