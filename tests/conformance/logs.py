"""What the conformance suite needs to know about an adapter, beyond the port."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from infra.event_log import Consumer, EventLog, Record, StoredRecord
from tests.fixtures.helpers import wait_until

GROUP_PATIENCE_SECONDS = 40.0
"""A Kafka group settles within its session timeout and a few heartbeats; the embedded one within a second."""


@dataclass
class Deployment:
    """One log to test: `open` connects to it once more, as another process would."""

    kind: str
    connect: Callable[[], EventLog]
    closing: ExitStack = field(default_factory=ExitStack)
    _kept: tuple[tuple[EventLog, EventLog], str, Consumer] | None = None

    def open(self) -> EventLog:
        log = self.connect()
        self.closing.callback(log.close)
        return log

    def consumer(self, log: EventLog, topic: str, group: str) -> Consumer:
        consumer = log.consumer(topic, group)
        self.closing.callback(consumer.close)
        return consumer

    def kept(self) -> tuple[tuple[EventLog, EventLog], str, Consumer]:
        """Two clients, a topic and its reader, kept for all examples of a property test: a group takes seconds."""
        if self._kept is None:
            logs = (self.open(), self.open())
            topic = self.topic(logs[0])
            consumer = self.consumer(logs[0], topic, "kept")
            join([consumer], logs[0].partitions(topic))
            self._kept = (logs, topic, consumer)
        return self._kept

    def topic(self, log: EventLog) -> str:
        """A new topic; brokers are shared between tests."""
        name = f"test.{uuid.uuid4().hex[:12]}"
        log.ensure_topic(name)
        return name


def record(value: bytes | str, partition: int | None = None, key: bytes = b"k") -> Record:
    return Record(key=key, value=value.encode() if isinstance(value, str) else value, partition=partition)


def join(consumers: Iterable[Consumer], partitions: int, timeout_seconds: float = GROUP_PATIENCE_SECONDS) -> None:
    """Poll, each in a thread of its own as members do, until the assignments are disjoint and cover all partitions.

    For consumers of an empty topic, or whose records the caller does not want.
    """
    members = list(consumers)
    settled = threading.Event()

    def keep_polling(member: Consumer) -> None:
        while not settled.is_set():
            member.poll(1000, 0.1)

    def shares() -> list[frozenset[int]]:
        return [member.assignment() for member in members]

    def divided() -> bool:
        now = shares()
        return all(now) and sum(map(len, now)) == partitions and len(frozenset().union(*now)) == partitions

    threads = [threading.Thread(target=keep_polling, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    try:
        wait_until(divided, timeout_seconds, "the division of the partitions")
    finally:
        settled.set()
        for thread in threads:
            thread.join()
    assert divided(), shares()


def read(consumer: Consumer, count: int, timeout_seconds: float = GROUP_PATIENCE_SECONDS) -> list[StoredRecord]:
    """Poll until `count` records came, then once more: nothing may follow."""
    found: list[StoredRecord] = []
    deadline = time.monotonic() + timeout_seconds
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.poll(1000, 0.2)
    return found + consumer.poll(1000, 0.2)


def values(records: Iterable[StoredRecord]) -> list[bytes]:
    return [stored.value for stored in records]
