"""What the conformance suite needs to know about an adapter, beyond the port."""

import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from infra.event_log import Consumer, EventLog, Record, StoredRecord

GROUP_PATIENCE_SECONDS = 40.0
"""A Kafka group settles within its session timeout and a few heartbeats; the embedded one within a second."""


@dataclass
class Deployment:
    """One log to test: `open` connects to it once more, as another process would."""

    kind: str
    connect: Callable[[], EventLog]
    closing: ExitStack = field(default_factory=ExitStack)
    _pair: tuple[EventLog, EventLog] | None = None

    def open(self) -> EventLog:
        log = self.connect()
        self.closing.callback(log.close)
        return log

    def consumer(self, log: EventLog, topic: str, group: str) -> Consumer:
        consumer = log.consumer(topic, group)
        self.closing.callback(consumer.close)
        return consumer

    def shared_pair(self) -> tuple[EventLog, EventLog]:
        """Two clients, kept for all examples of a property test."""
        if self._pair is None:
            self._pair = (self.open(), self.open())
        return self._pair

    def read_all(self, log: EventLog, topic: str, count: int) -> list[StoredRecord]:
        """What a new group reads from the beginning."""
        consumer = log.consumer(topic, "reads-all")
        try:
            return read(consumer, count)
        finally:
            consumer.close()

    def topic(self, log: EventLog) -> str:
        """A new topic; brokers are shared between tests."""
        name = f"test.{uuid.uuid4().hex[:12]}"
        log.ensure_topic(name)
        return name


def record(value: bytes | str, partition: int | None = None, key: bytes = b"k") -> Record:
    return Record(key=key, value=value.encode() if isinstance(value, str) else value, partition=partition)


def join(consumers: Iterable[Consumer], partitions: int, timeout_seconds: float = GROUP_PATIENCE_SECONDS) -> None:
    """Poll until the consumers' assignments are disjoint, cover all partitions and leave nobody idle.

    For consumers of an empty topic, or whose records the caller does not want.
    """
    members = list(consumers)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        for member in members:
            member.poll(1000, 0.1)
        shares = [member.assignment() for member in members]
        if all(shares) and sum(map(len, shares)) == partitions and len(frozenset().union(*shares)) == partitions:
            return
    raise AssertionError(f"the group did not settle in {timeout_seconds} s: {[m.assignment() for m in members]}")


def read(consumer: Consumer, count: int, timeout_seconds: float = GROUP_PATIENCE_SECONDS) -> list[StoredRecord]:
    """Poll until `count` records came, then once more: nothing may follow."""
    found: list[StoredRecord] = []
    deadline = time.monotonic() + timeout_seconds
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.poll(1000, 0.2)
    return found + consumer.poll(1000, 0.2)


def values(records: Iterable[StoredRecord]) -> list[bytes]:
    return [stored.value for stored in records]
