"""Metrics of access and of people's rights; part of the catalogue."""

from prometheus_client import Counter

from infra.metrics.registry import REGISTRY

ACCESS_REFUSED = Counter(
    "plaudit_access_refused_total",
    "Requests refused before any endpoint saw them, by the code of the reason.",
    ["code"],
    registry=REGISTRY,
)
ACCESS_LOOKUPS = Counter(
    "plaudit_access_key_lookups_total",
    "Keys asked of the store because the cache did not know them, by outcome.",
    ["outcome"],
    registry=REGISTRY,
)
ERASURES = Counter(
    "plaudit_erasures_total",
    "Erasures of people, by origin: command, or log where a restored store learned it again.",
    ["origin"],
    registry=REGISTRY,
)
ERASED_REFUSED = Counter(
    "plaudit_ingest_erased_total",
    "Items read from the log and not stored, because they were erased.",
    ["kind"],
    registry=REGISTRY,
)
RETENTION_REMOVED = Counter(
    "plaudit_retention_removed_total", "Rows and log records that grew too old, by kind.", ["kind"], registry=REGISTRY
)
