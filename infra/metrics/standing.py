"""Metrics of what is served and of experiments as the store has them, whichever process decided; part of the
catalogue."""

from prometheus_client import Gauge

from infra.metrics.registry import REGISTRY

SERVING_CHAMPION_PROVEN = Gauge(
    "plaudit_serving_champion_proven",
    "1 when this replica has proven the champion of the store and routes to it, 0 while it answers with another.",
    registry=REGISTRY,
)
SERVING_PROOF_REPLICAS = Gauge(
    "plaudit_serving_proof_replicas",
    "Replicas by what they say of an adapter that is wanted now: proven, indistinguishable, refused, unloaded.",
    ["adapter", "status"],
    registry=REGISTRY,
)
SERVING_TRIPPED_ARMS = Gauge(
    "plaudit_serving_tripped_arms_active",
    "Arms of running experiments that some gateway's breaker has given up.",
    registry=REGISTRY,
)
AB_STARTED = Gauge(
    "plaudit_experiment_started_timestamp_seconds",
    "When the running experiment began, Unix seconds; 0 while none runs.",
    registry=REGISTRY,
)
AB_HOLD = Gauge(
    "plaudit_experiment_hold_active",
    "1 for the code of the reason for which the running experiment is held, by the ledger.",
    ["code"],
    registry=REGISTRY,
)
AB_HELD_SINCE = Gauge(
    "plaudit_experiment_held_since_timestamp_seconds",
    "When the running experiment was last held for another reason than before, Unix seconds; 0 while it is not held.",
    registry=REGISTRY,
)
AB_SAMPLE_RATIO_BOUNDARY = Gauge(
    "plaudit_experiment_sample_ratio_boundary_nats",
    "What the sample ratio's log e-value must reach to count as a mismatch.",
    registry=REGISTRY,
)
AB_LEDGER = Gauge(
    "plaudit_experiment_ledger_rows", "Rows of the ledger of decisions, by kind.", ["kind"], registry=REGISTRY
)
AB_DECIDED = Gauge(
    "plaudit_experiment_last_decision_timestamp_seconds",
    "When the newest row of the ledger of this kind was written, Unix seconds.",
    ["kind"],
    registry=REGISTRY,
)
