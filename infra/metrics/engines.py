"""Metrics of the engines' replicas; part of the catalogue. The engine inside the gateway is the replica `local`."""

from prometheus_client import Counter, Gauge

from infra.metrics.registry import REGISTRY

REPLICA_UP = Gauge(
    "plaudit_serving_replica_up", "1 when this replica of the engine answers, else 0.", ["replica"], registry=REGISTRY
)
REPLICA_ADAPTER_PROVEN = Gauge(
    "plaudit_serving_replica_adapter_proven",
    "1 when the adapter is proven on this replica of the engine, 0 when it was refused there; absent when not loaded.",
    ["replica", "adapter"],
    registry=REGISTRY,
)
REPLICA_PROOF_MARGIN = Gauge(
    "plaudit_serving_replica_proof_margin_ratio",
    "How many times the engine's noise the nearest other adapter is farther away than the expected one, by the newest "
    "proof; absent where no other is known.",
    ["replica", "adapter"],
    registry=REGISTRY,
)
REPLICA_REQUESTS = Counter(
    "plaudit_serving_replica_requests_total",
    "Answers asked of this replica, by outcome: ok, cancelled, failed, or retried elsewhere before the first token.",
    ["replica", "outcome"],
    registry=REGISTRY,
)
REPLICA_LOST = Counter(
    "plaudit_serving_replica_lost_total",
    "Times a replica may have lost what it had loaded (restarted, away, or missing an adapter): all is proven anew.",
    ["replica"],
    registry=REGISTRY,
)
