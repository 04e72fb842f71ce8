"""A Kafka producer that heals: appends as futures, and a new client after an error the old one cannot survive.

An idempotent producer does not outlive its broker's memory of it (a restarted broker, a fenced epoch): it would fail
every later send as well. So whatever fails an append, except a record that is itself at fault, replaces the client.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from kafka.errors import KafkaError

from infra.event_log.deadlines import Acknowledgement, fail, resolve
from infra.event_log.kafka.client import translated
from infra.event_log.port import EventLogUnavailable, Position, Record

_log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.25
_LAST_RETRY_SECONDS = 10.0


class HealingProducer:
    """Owns the current `kafka.KafkaProducer`, or is busy making the next one."""

    def __init__(self, make: Callable[[], Any], close_seconds: float) -> None:
        self._make = make
        self._close_seconds = close_seconds
        self._lock = threading.Lock()
        self._current: Any | None = make()
        self._closing = threading.Event()
        self._healer: threading.Thread | None = None
        self.last_error = ""

    def send(self, topic: str, records: Sequence[Record], partitions: Sequence[int], timestamp_ms: int) -> "InFlight":
        """Send all; the result's future fails if any of them does."""
        flight = InFlight(topic, len(records), self.suspect)
        with self._lock:
            producer = self._current
        if producer is None:
            flight.fail_with(
                EventLogUnavailable(f"reconnecting to Kafka after: {self.last_error}; send it again later")
            )
            return flight
        flight.producer = producer
        try:
            for index, (record, partition) in enumerate(zip(records, partitions, strict=True)):
                sent = producer.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=partition,
                    timestamp_ms=timestamp_ms,
                )
                sent.add_callback(flight.record_done, index)
                sent.add_errback(flight.record_failed)
        except (KafkaError, ValueError, AssertionError) as error:  # closed by the healer meanwhile, or no metadata
            flight.record_failed(error)
        return flight

    def suspect(self, producer: Any, error: object) -> None:
        """Replace `producer`, in the background, unless that has been done or begun."""
        with self._lock:
            if producer is not self._current or self._closing.is_set():
                return
            self._current = None
            self.last_error = str(error)
            self._healer = threading.Thread(target=self._heal, args=(producer,), name="event-log-healer", daemon=True)
            self._healer.start()

    def connected(self) -> bool:
        with self._lock:
            return self._current is not None

    def close(self) -> None:
        """Flush what was accepted, within the time an append may take."""
        self._closing.set()
        with self._lock:  # a healer that is seen here has also been started
            healer = self._healer
        if healer is not None:
            healer.join()
        with self._lock:
            producer, self._current = self._current, None
        if producer is not None:
            _close(producer, self._close_seconds)

    def _heal(self, old: Any) -> None:
        _log.warning("event_log_reconnecting", error=self.last_error)
        pause = _FIRST_RETRY_SECONDS
        fresh = None
        while fresh is None and not self._closing.wait(pause):
            try:
                fresh = self._make()
            except Exception as error:
                self.last_error = str(error)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
        with self._lock:
            self._current = fresh
        if fresh is not None:
            _log.info("event_log_reconnected")
        _close(old, self._close_seconds)


def _close(producer: Any, seconds: float) -> None:
    """Flush and close. A first try may time out on records that expire meanwhile; the second then finds none."""
    for _ in range(2):
        try:
            producer.close(timeout=seconds)
            return
        except KafkaError as error:
            _log.warning("event_log_close_slow", error=str(error))


class InFlight:
    """One append on its way: counts acknowledgements, which arrive on the client's own thread."""

    def __init__(self, topic: str, count: int, suspect: Callable[[Any, object], None]) -> None:
        self.future = Acknowledgement()
        self.producer: Any = None
        self._topic = topic
        self._positions: list[Position | None] = [None] * count
        self._missing = count
        self._suspect = suspect
        self._lock = threading.Lock()

    def record_done(self, index: int, metadata: Any) -> None:
        position = Position(topic=self._topic, partition=metadata.partition, offset=metadata.offset)
        with self._lock:
            self._positions[index] = position
            self._missing -= 1
            complete = self._missing == 0
        if complete:
            resolve(self.future, [position for position in self._positions if position is not None])

    def record_failed(self, error: Exception) -> None:
        failure = translated(error, f"append to {self._topic}")
        self.fail_with(failure)
        if isinstance(failure, EventLogUnavailable) and self.producer is not None:
            self._suspect(self.producer, error)

    def fail_with(self, error: Exception) -> None:
        fail(self.future, error)
