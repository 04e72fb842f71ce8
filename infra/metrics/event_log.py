"""Metrics of the event log; part of the catalogue."""

from prometheus_client import Counter, Gauge, Histogram

from infra.metrics.buckets import SHORT_SECONDS
from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

EVENT_LOG_APPENDED_RECORDS = Counter(
    "plaudit_event_log_appended_records_total", "Records acknowledged as durable.", ["topic"], registry=REGISTRY
)
EVENT_LOG_APPENDED_BYTES = Counter(
    "plaudit_event_log_appended_bytes_total", "Key and value bytes acknowledged.", ["topic"], registry=REGISTRY
)
EVENT_LOG_APPEND_FAILURES = Counter(
    "plaudit_event_log_append_failures_total",
    "Appends that were not acknowledged, by error code; their callers were told to send again.",
    ["topic", "code"],
    registry=REGISTRY,
)
EVENT_LOG_APPEND_SECONDS = Histogram(
    "plaudit_event_log_append_seconds",
    "Time from an append to its durable acknowledgement, or to its failure.",
    ["topic"],
    buckets=SHORT_SECONDS,
    registry=REGISTRY,
)
EVENT_LOG_CONSUMER_LAG = Gauge(
    "plaudit_event_log_consumer_lag_records",
    "Records appended and not yet committed by the group, as of its last commit.",
    ["topic", "group", "partition"],
    registry=REGISTRY,
)
EVENT_LOG_SPOOLED_RECORDS = Counter(
    "plaudit_event_log_spooled_records_total",
    "Records acknowledged from the local spool, as the log did not answer.",
    ["topic"],
    registry=REGISTRY,
)
EVENT_LOG_REFUSED_RECORDS = Counter(
    "plaudit_event_log_refused_records_total",
    "Spooled records that the log would not take as they are, set aside in a .refused file of the spool's folder.",
    ["topic"],
    registry=REGISTRY,
)
EVENT_LOG_SPOOL_BYTES = OnceSet(
    "plaudit_event_log_spool_bytes", "Bytes on local disk that wait for the log.", registry=REGISTRY
)
EVENT_LOG_SPOOL_PROCESS_UP = OnceSet(
    "plaudit_event_log_spool_process_up",
    "1 while a process of its own keeps the spool, 0 while one should and does not: then threads of this one do.",
    registry=REGISTRY,
)
EVENT_LOG_SPOOL_PROCESS_LOST = Counter(
    "plaudit_event_log_spool_process_lost_total",
    "Times that the process that keeps the spool died or was ended as it did not answer.",
    registry=REGISTRY,
)
EVENT_LOG_HEALTHY = OnceSet(
    "plaudit_event_log_healthy", "1 when the log answered its last check, else 0.", registry=REGISTRY
)
