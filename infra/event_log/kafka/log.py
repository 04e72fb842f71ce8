"""The event log on Apache Kafka: acks=all, idempotent, lz4.

A topic's identity is the topic id that the broker gives it at creation (KIP-516, Kafka 2.8 and later). There is no
fallback on purpose: anything weaker, such as the cluster id, stays the same when a topic is made anew, and stored
offsets would then skip records of the new topic without a trace.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, TopicAlreadyExistsError

from infra.contracts.clock import Clock
from infra.contracts.errors import PlauditError
from infra.event_log.deadlines import Acknowledgement, Deadlines, failed, resolve
from infra.event_log.kafka.client import (
    BATCH_OVERHEAD_BYTES,
    bridge_logging,
    client_options,
    close_sockets_of_failed_connections,
    connected,
    require_fast_codecs,
    translated,
)
from infra.event_log.kafka.consumer import KafkaConsumer
from infra.event_log.kafka.producer import HealingProducer
from infra.event_log.observing import observe
from infra.event_log.partitioning import place
from infra.event_log.port import KEPT_FOR_EVER, EventLogUnavailable, Record, UnknownTopic
from infra.metrics import catalogue
from infra.settings.infrastructure import EventLogSettings

T = TypeVar("T")

_BATCH_BYTES = 256 * 1024


class NoTopicIdentity(PlauditError):
    """The broker does not name its topics by id."""

    code = "no_topic_identity"
    status = 500


class KafkaEventLog:
    """See `port.EventLog`."""

    def __init__(self, settings: EventLogSettings, clock: Clock) -> None:
        require_fast_codecs()
        bridge_logging()
        close_sockets_of_failed_connections()
        self._settings = settings
        self._clock = clock
        self._admin: Any | None = None
        self._admin_lock = threading.Lock()
        self._partitions: dict[str, int] = {}
        self._waiting_bytes = 0
        self._waiting_lock = threading.Lock()
        self._closed = False
        try:
            self._producer = HealingProducer(self._make_producer, settings.append_timeout_seconds + 1)
        except KafkaError as error:
            raise translated(error, f"Kafka at {settings.bootstrap_servers} cannot be reached") from error
        self._deadlines = Deadlines(settings.append_timeout_seconds)

    def ensure_topic(self, topic: str) -> None:
        wanted = {
            "num_partitions": self._settings.partitions,
            "replication_factor": self._settings.replication_factor,
            "configs": topic_configs(topic, self._settings),
        }

        def create(admin: Any) -> None:
            try:
                admin.create_topics({topic: wanted}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                admin.wait_for_topics([topic])

        self._ask(create, f"create topic {topic}")

    def topic_identity(self, topic: str) -> str:
        """Asked of the broker every time: the topic may have been made anew since."""
        identity = self._describe(topic).get("topic_id")
        if not identity or uuid.UUID(str(identity)).int == 0:
            raise NoTopicIdentity(
                f"the broker gives topic {topic!r} no id, so stored offsets could be applied to another topic of the "
                "same name: use Kafka 2.8 or later"
            )
        return str(identity)

    def partitions(self, topic: str) -> int:
        """Read once: partitions are never added to a topic of ours, it would move its keys."""
        if topic not in self._partitions:
            self._partitions[topic] = len(self._describe(topic)["partitions"])
        return self._partitions[topic]

    def append(self, topic: str, records: Sequence[Record]) -> Acknowledgement:
        partitions = place(records, self.partitions(topic), self._settings.max_record_bytes)
        if not records:
            done = Acknowledgement()
            resolve(done, [])
            return done
        size = sum(len(record.key) + len(record.value) for record in records)
        refused = self._reserve(size)
        if refused is not None:
            return observe(topic, records, failed(EventLogUnavailable(f"{refused}: nothing was accepted, try later")))
        flight = self._producer.send(topic, records, partitions, int(self._clock.now() * 1000))
        observe(topic, records, flight.future).add_done_callback(lambda _: self._release(size))
        # A producer that leaves an append unanswered for so long would leave the next one too.
        self._deadlines.watch(flight.future, lambda: self._producer.suspect(flight.producer, "no acknowledgement"))
        return flight.future

    def consumer(self, topic: str, group: str) -> KafkaConsumer:
        self.partitions(topic)  # a missing topic fails here and not in a poll that never returns anything
        return KafkaConsumer(self._settings, topic, group)

    def healthy(self) -> str | None:
        problem = self._problem()
        catalogue.EVENT_LOG_HEALTHY.set(0 if problem else 1)
        return problem

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._producer.close()
        self._deadlines.stop()
        with self._admin_lock:
            self._drop_admin()

    def _make_producer(self) -> Any:
        settings = self._settings
        producer = connected(
            KafkaProducer,
            **client_options(settings),
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=int(settings.linger_seconds * 1000),
            batch_size=_BATCH_BYTES,
            max_request_size=settings.max_record_bytes + BATCH_OVERHEAD_BYTES,
            max_block_ms=int(settings.append_timeout_seconds * 1000),
            delivery_timeout_ms=int(settings.append_timeout_seconds * 1000),
            allow_auto_create_topics=False,
        )
        try:
            for topic in self._partitions:  # so that no append has to wait for metadata
                producer.partitions_for(topic)
        except KafkaError:
            producer.close(timeout=0)
            raise
        return producer

    def _reserve(self, size: int) -> str | None:
        with self._waiting_lock:
            if self._closed:
                return "the log is closed"
            if self._waiting_bytes and self._waiting_bytes + size > self._settings.queue_limit_bytes:
                return f"{self._waiting_bytes} bytes wait for Kafka (event_log.queue_limit_bytes)"
            self._waiting_bytes += size
            return None

    def _release(self, size: int) -> None:
        with self._waiting_lock:
            self._waiting_bytes -= size

    def _describe(self, topic: str) -> dict[str, Any]:
        described = self._ask(lambda admin: admin.describe_topics([topic]), f"describe topic {topic}")
        found: dict[str, Any] = next((entry for entry in described if entry["name"] == topic), {})
        if found.get("error_code") or not found.get("partitions"):
            raise UnknownTopic(
                f"topic {topic!r} does not exist at {self._settings.bootstrap_servers} (error code "
                f"{found.get('error_code')}): call ensure_topic first"
            )
        return found

    def _problem(self) -> str | None:
        if self._closed:
            return "the event log is closed"
        if not self._producer.connected():
            return f"reconnecting to Kafka after: {self._producer.last_error}"
        try:
            self._ask(lambda admin: admin.describe_cluster(), "describe cluster")
        except EventLogUnavailable as error:
            return str(error)
        return None

    def _ask(self, question: Callable[[Any], T], doing: str) -> T:
        """One question at a time; after an error the next question makes a new client."""
        with self._admin_lock:
            try:
                if self._admin is None:
                    self._admin = connected(KafkaAdminClient, **client_options(self._settings))
                return question(self._admin)
            except KafkaError as error:
                self._drop_admin()
                raise translated(error, doing) from error

    def _drop_admin(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()


def topic_configs(topic: str, settings: EventLogSettings) -> dict[str, str]:
    """Broker settings of a topic when it is created."""
    configs = {
        "max.message.bytes": str(settings.max_record_bytes + BATCH_OVERHEAD_BYTES),
        # With three replicas an acknowledged record survives the loss of any one machine, and appends go on.
        "min.insync.replicas": str(max(1, min(2, settings.replication_factor - 1))),
    }
    if topic.endswith(KEPT_FOR_EVER):
        configs |= {"retention.ms": "-1", "retention.bytes": "-1"}
    return configs
