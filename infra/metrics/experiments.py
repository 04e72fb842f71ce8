"""Metrics of experiments; part of the catalogue. But for the counters and the self-test they are read from the store
before a scrape: they are true whichever process decides."""

from prometheus_client import Counter, Gauge

from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

AB_DECISIONS = Counter(
    "plaudit_experiment_decisions_total", "Rows written to the ledger of decisions.", ["kind"], registry=REGISTRY
)
AB_LOOKS = Counter(
    "plaudit_experiment_looks_total",
    "Looks at a running experiment, by what they came to and the reason's code.",
    ["kind", "code"],
    registry=REGISTRY,
)
AB_RUNNING = OnceSet("plaudit_experiment_running", "1 while an experiment runs, else 0.", registry=REGISTRY)
AB_TRAFFIC_SHARE = OnceSet(
    "plaudit_experiment_challenger_share", "Share of people who are given the challenger, 0..1.", registry=REGISTRY
)
AB_PEOPLE = Gauge(
    "plaudit_experiment_people", "People with a frozen value of the metric.", ["metric", "arm"], registry=REGISTRY
)
AB_E_VALUE = Gauge(
    "plaudit_experiment_log_e_value_nats",
    "Logarithm of the e-value, by metric and test: better, worse, not_inferior.",
    ["metric", "test"],
    registry=REGISTRY,
)
AB_SAMPLE_RATIO = OnceSet(
    "plaudit_experiment_sample_ratio_log_e_value_nats",
    "Logarithm of the highest e-value so far that people, or those of a segment, do not land in the arms as meant.",
    registry=REGISTRY,
)
AB_SENTINEL_ALARM = OnceSet(
    "plaudit_experiment_sentinel_alarms_waiting",
    "1 while the champion looks different from itself and nobody has acknowledged it: promotions are blocked.",
    registry=REGISTRY,
)
AB_SELF_TEST = OnceSet(
    "plaudit_experiment_self_test_effects_missing",
    "Injected effects that this process did not find in the right direction; above 0 promotions are blocked.",
    registry=REGISTRY,
)
AB_WATERMARK_AGE = OnceSet(
    "plaudit_experiment_watermark_age_seconds", "Age of the watermark of the newest look.", registry=REGISTRY
)
AB_STARTED = OnceSet(
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
AB_HELD_SINCE = OnceSet(
    "plaudit_experiment_held_since_timestamp_seconds",
    "When the running experiment was last held for another reason than before, Unix seconds; 0 while it is not held.",
    registry=REGISTRY,
)
AB_SAMPLE_RATIO_BOUNDARY = OnceSet(
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
