"""The Kafka consumer: cooperative rebalancing, and new partitions held back until the caller could seek them.

kafka-python 3.0.12 throws a finished join away when it finishes between two polls, and joins again. A member that is
polled half of the time would then hardly ever get its partitions. So a poll in which the group rebalances lasts until
that is settled, at most ten seconds longer than asked for.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from kafka import KafkaConsumer as Client
from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import IllegalStateError, KafkaError
from kafka.structs import OffsetAndMetadata

from infra.event_log.kafka.client import BATCH_OVERHEAD_BYTES, client_options, connected, translated
from infra.event_log.port import POLL_BYTES, EventLogUnavailable, PartitionNotAssigned, StoredRecord
from infra.metrics import catalogue
from infra.settings.infrastructure import EventLogSettings

_log = structlog.get_logger(__name__)

_SLICE_SECONDS = 0.2
"""A poll waits in slices of this length, so that it can return as soon as partitions were assigned."""

_JOIN_PATIENCE_SECONDS = 10.0
"""How much longer a poll may last while the group rebalances: short enough for a shutdown to wait for it."""


class _Holding(ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses what is assigned. Called on the client's own thread while `poll` waits for the rebalance."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._held: set[TopicPartition] = set()
        self._changed = False

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._client.pause(*assigned)
        with self._lock:
            self._held |= assigned
            self._changed = True

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        with self._lock:
            self._held -= revoked

    def take(self) -> set[TopicPartition]:
        """Partitions held now; they are the caller's to release."""
        with self._lock:
            held, self._held = self._held, set()
            self._changed = False
            return held

    def changed(self) -> bool:
        """Whether partitions were assigned and not taken yet."""
        with self._lock:
            return self._changed


class KafkaConsumer:
    """See `port.Consumer`."""

    def __init__(self, settings: EventLogSettings, topic: str, group: str) -> None:
        self._topic = topic
        self._group = group
        self._timeout_ms = int(settings.append_timeout_seconds * 1000)
        session_ms = int(settings.session_timeout_seconds * 1000)
        # Joining waits for the other members, so a consumer's requests must be allowed to take long.
        patience_ms = max(30_000, session_ms + 5_000)
        try:
            self._client = connected(
                Client,
                **client_options(settings) | {"request_timeout_ms": patience_ms},
                # A group of ours belongs to one topic: members that read another need not rebalance with it.
                group_id=f"{group}.{topic}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=session_ms,
                heartbeat_interval_ms=min(3000, session_ms // 3),
                max_partition_fetch_bytes=settings.max_record_bytes + BATCH_OVERHEAD_BYTES,
                fetch_max_bytes=POLL_BYTES,
            )
        except KafkaError as error:
            raise translated(error, f"consumer of {topic}") from error
        self._listener = _Holding(self._client)
        self._client.subscribe([topic], listener=self._listener)
        self._offered: set[TopicPartition] = set()
        self._fresh: set[int] = set()
        self._sought: set[int] = set()
        self._closed = False

    def poll(self, max_records: int, timeout_seconds: float) -> list[StoredRecord]:
        deadline = time.monotonic() + timeout_seconds
        last = deadline + _JOIN_PATIENCE_SECONDS
        with self._errors_named("poll"):
            # What the last poll assigned was shown to the caller since: it may be read now.
            self._client.resume(*(self._offered & self._client.assignment()))
            self._offered = set()
            while True:
                until = last if self._joining() else deadline
                remaining = max(0.0, until - time.monotonic())
                found = self._client.poll(int(1000 * min(remaining, _SLICE_SECONDS)), max_records)
                if self._listener.changed():
                    self._offer(self._listener.take())
                    return self._records(found)
                if found or time.monotonic() >= (last if self._joining() else deadline):
                    return self._records(found)

    def assignment(self) -> frozenset[int]:
        return frozenset(place.partition for place in self._client.assignment())

    def newly_assigned(self) -> frozenset[int]:
        fresh = frozenset(self._fresh - self._sought) & self.assignment()
        self._fresh.clear()
        return fresh

    def seek(self, partition: int, offset: int) -> None:
        try:
            self._client.seek(self._require(partition), offset)
        except (AssertionError, IllegalStateError, KeyError) as error:
            raise self._not_assigned(partition) from error
        self._sought.add(partition)

    def position(self, partition: int) -> int:
        place = self._require(partition)
        with self._errors_named("position"):
            position = self._client.position(place, timeout_ms=self._timeout_ms)
        if position is None:
            raise EventLogUnavailable(f"Kafka did not say where {self._group} stands in {self._topic}; try again later")
        return int(position)

    def commit(self, offsets: dict[int, int]) -> None:
        places = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }
        try:
            self._client.commit(places, timeout_ms=self._timeout_ms)
        except KafkaError as error:  # during a rebalance, say; only lag tools read it, and the next commit mends it
            _log.info("event_log_offset_commit_failed", topic=self._topic, group=self._group, error=str(error))
        for place, committed in places.items():
            lag = max(0, self._highwater(place) - committed.offset)
            catalogue.EVENT_LOG_CONSUMER_LAG.labels(self._topic, self._group, str(place.partition)).set(lag)

    def end_offsets(self) -> dict[int, int]:
        with self._errors_named("end offsets"):
            partitions = self._client.partitions_for_topic(self._topic) or set()
            places = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
            ends = self._client.end_offsets(places, timeout_ms=self._timeout_ms)
        # Brokers other than Apache's may answer with the last batch's first offset + 1 (tansu 0.6 does); what a fetch
        # has told is right wherever there was one.
        return {place.partition: max(int(end), self._highwater(place)) for place, end in ends.items()}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._client.close(autocommit=False, timeout_ms=self._timeout_ms)
        except KafkaError as error:
            _log.warning("event_log_consumer_close_failed", topic=self._topic, group=self._group, error=str(error))

    def _joining(self) -> bool:
        """Whether a rebalance is not settled. The library does not tell in public."""
        return bool(self._client._coordinator.need_rejoin())

    def _highwater(self, place: TopicPartition) -> int:
        """The end of the partition as of the last fetch from it; 0 before the first."""
        return (self._client.highwater(place) if place in self._client.assignment() else None) or 0

    def _offer(self, places: set[TopicPartition]) -> None:
        self._offered = places
        partitions = {place.partition for place in places}
        self._sought -= partitions
        self._fresh |= partitions

    def _records(self, found: dict[TopicPartition, list[Any]]) -> list[StoredRecord]:
        return [
            StoredRecord(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                timestamp=record.timestamp / 1000,
                key=record.key or b"",
                value=record.value or b"",
                headers=tuple(record.headers),
            )
            for records in found.values()
            for record in records
        ]

    def _require(self, partition: int) -> TopicPartition:
        place = TopicPartition(self._topic, partition)
        if self._closed or place not in self._client.assignment():
            raise self._not_assigned(partition)
        return place

    def _not_assigned(self, partition: int) -> PartitionNotAssigned:
        return PartitionNotAssigned(
            f"partition {partition} of {self._topic} is not assigned to this member of {self._group}: it has "
            f"{sorted(self.assignment())}; poll again and seek what newly_assigned() names",
            field="partition",
        )

    @contextmanager
    def _errors_named(self, doing: str) -> Iterator[None]:
        if self._closed:
            raise EventLogUnavailable("this consumer is closed; make a new one")
        try:
            yield
        except KafkaError as error:
            raise translated(error, f"{doing} of {self._topic} as {self._group}") from error
