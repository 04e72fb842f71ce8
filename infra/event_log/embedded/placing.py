"""How records become rows: offsets, the statements that write them, and the one that does it all."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from infra.event_log.deadlines import Acknowledgement
from infra.event_log.embedded.storage import row_id
from infra.event_log.port import EventLogUnavailable, Position, Record

_encode_headers = msgspec.msgpack.Encoder().encode
INSERT = "INSERT INTO records (id, timestamp, key, value, headers) VALUES (?, ?, ?, ?, ?)"

FEW_RECORDS = 16
"""So many records at most are committed by one statement: each statement of a transaction gives the interpreter to
other threads and waits until it gets it back, which under load costs more than the statement."""
AT_ONCE = """
CREATE TEMP VIEW incoming AS
    SELECT 0 AS topic_id, 0 AS partition, 0 AS offset, 0 AS id, 0 AS timestamp, 0 AS key, 0 AS value, 0 AS headers;
CREATE TEMP TRIGGER placing INSTEAD OF INSERT ON incoming BEGIN
    SELECT RAISE(ABORT, 'others appended') WHERE NOT EXISTS (
        SELECT 1 FROM heads
        WHERE topic_id = NEW.topic_id AND partition = NEW.partition AND next_offset = NEW.offset
    );
    INSERT INTO records (id, timestamp, key, value, headers)
        VALUES (NEW.id, NEW.timestamp, NEW.key, NEW.value, NEW.headers);
    UPDATE heads SET next_offset = NEW.offset + 1 WHERE topic_id = NEW.topic_id AND partition = NEW.partition;
END;
"""
"""A whole transaction as one statement, of records whose offsets are guessed; it fails, and changes nothing, when
another process has appended since."""
PROBE = "INSERT INTO records (id, timestamp, key, value) VALUES (0, 0, x'', x'')"
"""No topic has the id 0."""


@dataclass(slots=True, eq=False)
class Append:
    """One call of `append`, waiting for its commit."""

    topic: str
    topic_id: int
    records: Sequence[Record]
    partitions: Sequence[int]
    size: int
    future: Acknowledgement = field(default_factory=Acknowledgement)


class Heads:
    """Next offsets of the partitions one transaction touches: `next`, beginning with none."""

    def __init__(self, connection: sqlite3.Connection, guesses: dict[tuple[int, int], int]) -> None:
        self.connection = connection
        self.next: dict[tuple[int, int], int] = {}
        self._guesses = guesses

    def guessed(self, appends: Sequence[Append]) -> bool:
        """Whether all of them are known from what this process appended before; then they are taken from there."""
        for append in appends:
            for partition in append.partitions:
                place = (append.topic_id, partition)
                if place not in self._guesses:
                    return False
                self.next[place] = self._guesses[place]
        return True

    def place(self, append: Append) -> list[Position]:
        """Give each record of an append its offset: contiguous within its partition."""
        placed: list[Position] = []
        for partition in append.partitions:
            place = (append.topic_id, partition)
            offset = self.next[place] if place in self.next else self._load(place)
            self.next[place] = offset + 1
            placed.append(Position(topic=append.topic, partition=partition, offset=offset))
        return placed

    def save(self) -> None:
        self.connection.executemany(
            "UPDATE heads SET next_offset = ? WHERE topic_id = ? AND partition = ?",
            [(offset, *place) for place, offset in self.next.items()],
        )

    def _load(self, place: tuple[int, int]) -> int:
        row = self.connection.execute(
            "SELECT next_offset FROM heads WHERE topic_id = ? AND partition = ?", place
        ).fetchone()
        if row is None:
            raise EventLogUnavailable("the topic was deleted while it was written; call ensure_topic again")
        offset: int = row[0]
        return offset


@cache
def at_once(count: int) -> str:
    """The one statement that takes `count` records, cached by their number."""
    return "INSERT INTO incoming VALUES " + ", ".join(count * ("(?, ?, ?, ?, ?, ?, ?, ?)",))  # noqa: S608


def row_of(append: Append, record: Record, position: Position, now: float) -> tuple[int, float, bytes, bytes, Any]:
    """The columns of `records`."""
    headers = _encode_headers(record.headers) if record.headers else None
    return row_id(append.topic_id, position.partition, position.offset), now, record.key, record.value, headers
