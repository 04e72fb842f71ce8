"""A durable, partitioned, append-only log: one port, an embedded adapter (SQLite) and Apache Kafka."""

from infra.event_log.factory import open_event_log
from infra.event_log.partitioning import InvalidRecord, partition_of
from infra.event_log.port import (
    Consumer,
    EventLog,
    EventLogUnavailable,
    PartitionNotAssigned,
    Position,
    Record,
    StoredRecord,
    UnknownTopic,
)

__all__ = [
    "Consumer",
    "EventLog",
    "EventLogUnavailable",
    "InvalidRecord",
    "PartitionNotAssigned",
    "Position",
    "Record",
    "StoredRecord",
    "UnknownTopic",
    "open_event_log",
    "partition_of",
]
