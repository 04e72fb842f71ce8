"""What the service promises, as gauges beside what it does; part of the catalogue."""

from prometheus_client import Gauge

from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

SLO_TARGET = Gauge(
    "plaudit_slo_target_ratio",
    "Share of good events promised, 0 to 1, by promise: availability, first_token, feedback.",
    ["slo"],
    registry=REGISTRY,
)
SLO_SECONDS = Gauge(
    "plaudit_slo_limit_seconds", "What counts as in time, by promise: first_token.", ["slo"], registry=REGISTRY
)
KL_BUDGET = Gauge(
    "plaudit_policy_kl_budget_nats",
    "Nats a token that an adapter may be from what it is measured against: champion, base.",
    ["against"],
    registry=REGISTRY,
)
EVENT_LOG_SPOOL_LIMIT = OnceSet(
    "plaudit_event_log_spool_limit_bytes", "Bytes that may wait on local disk for the log.", registry=REGISTRY
)
