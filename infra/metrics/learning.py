"""Metrics of what is learned: labels, reward model, policy update; part of the catalogue. Read from the store before a
scrape, since the jobs behind them are processes of their own."""

from prometheus_client import Gauge, Histogram

from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

DELAY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Buckets from an append to its effect."""

INGEST_APPLY_DELAY = Histogram(
    "plaudit_ingest_apply_delay_seconds",
    "Time from the append of the oldest record of a batch to the commit that applied it, provisional labels included.",
    ["kind"],
    buckets=DELAY_SECONDS,
    registry=REGISTRY,
)
INGEST_APPLIED_THROUGH = Gauge(
    "plaudit_ingest_applied_through_timestamp_seconds",
    "Everything appended before this instant, Unix seconds, to any partition has been applied, by the store.",
    ["kind"],
    registry=REGISTRY,
)
INGEST_OPEN_LETTERS = Gauge(
    "plaudit_ingest_open_dead_letters",
    "Dead letters that nobody has replayed or dropped, by reason.",
    ["reason"],
    registry=REGISTRY,
)
INGEST_UNATTRIBUTED = OnceSet(
    "plaudit_ingest_unattributed_ratio",
    "Share of recent feedback events (the newest 2,000 between a minute and an hour old) whose answer is unknown here.",
    registry=REGISTRY,
)
LABEL_LAG = OnceSet(
    "plaudit_label_lag_seconds",
    "How long the oldest label whose window has closed, allowed lateness included, has waited to become final.",
    registry=REGISTRY,
)
LABELS_OVERDUE = OnceSet(
    "plaudit_label_overdue_labels", "Provisional labels whose window has closed, lateness included.", registry=REGISTRY
)
LABEL_NEWEST = OnceSet(
    "plaudit_label_newest_timestamp_seconds", "When the newest final label was made, Unix seconds.", registry=REGISTRY
)

REWARD_MODEL_CHAMPION = OnceSet(
    "plaudit_reward_model_champion_version",
    "Version of the reward model that policies are trained against; 0 before the first.",
    registry=REGISTRY,
)
REWARD_MODEL_MADE = OnceSet(
    "plaudit_reward_model_made_timestamp_seconds", "When the newest version was made, Unix seconds.", registry=REGISTRY
)
REWARD_MODEL_CALIBRATION = Gauge(
    "plaudit_reward_model_calibration_error_ratio",
    "Debiased root mean squared calibration error of the newest version on its hold-out, by head.",
    ["head"],
    registry=REGISTRY,
)
REWARD_MODEL_DRIFT = Gauge(
    "plaudit_reward_model_drift_psi_nats",
    "Population stability index between training window and hold-out of the newest version's scores, less its chance.",
    ["head"],
    registry=REGISTRY,
)
REWARD_MODEL_DRIFTED = OnceSet(
    "plaudit_reward_model_drift_reasons",
    "Distributions and label rates that moved by more than chance since the newest version's training window.",
    registry=REGISTRY,
)
REWARD_MODEL_DISAGREEMENT = OnceSet(
    "plaudit_reward_model_disagreement_ratio",
    "Share of held-out pairs that the newest version orders otherwise than the champion.",
    registry=REGISTRY,
)

POLICY_REWARD = Gauge(
    "plaudit_policy_update_reward_mean",
    "Mean reward of the last step of the newest training, by objective, on its own scale.",
    ["objective"],
    registry=REGISTRY,
)
POLICY_KL = Gauge(
    "plaudit_policy_update_kl_nats",
    "Nats a token of the last step of the newest training to what it is measured against: champion, base.",
    ["against"],
    registry=REGISTRY,
)
CHAMPION_KL = OnceSet(
    "plaudit_policy_champion_kl_to_base_nats",
    "Nats a token between the champion and the base, as its gate measured it; 0 while the base is champion.",
    registry=REGISTRY,
)
POLICY_ADAPTERS = Gauge(
    "plaudit_policy_adapters", "Adapters ever trained, by their state.", ["state"], registry=REGISTRY
)
GATE_REFUSALS = Gauge(
    "plaudit_policy_gate_refused_adapters",
    "Adapters that the gate refused, by the check that failed; one that failed several counts in each.",
    ["check"],
    registry=REGISTRY,
)
POLICY_MADE = OnceSet(
    "plaudit_policy_update_made_timestamp_seconds", "When the newest adapter was made, Unix seconds.", registry=REGISTRY
)
