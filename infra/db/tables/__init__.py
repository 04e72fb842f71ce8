"""All tables of the store, one file a room. Rows carry a project id: one deployment serves several products."""

from infra.db.tables.access import api_keys, audit_entries, erased_people, erasures, exports, taints, tombstones
from infra.db.tables.base import metadata
from infra.db.tables.experiments import (
    breaker_trips,
    decisions,
    experiment_looks,
    experiment_states,
    experiments,
    exposures,
    person_values,
    sentinels,
)
from infra.db.tables.feedback import consumer_offsets, dead_letters, feedback_events, interactions, labels, pairs
from infra.db.tables.models import adapter_proofs, adapters, reward_models, serving_state
from infra.db.tables.operations import config_snapshots, job_cursors, job_runs, leases, pauses
from infra.db.tables.predictions import offline_online_points
from infra.db.tables.rewards import (
    dwell_models,
    label_bases,
    reward_specifications,
    selection_habits,
    selection_models,
    shadow_labels,
    signal_validity,
)
from infra.db.tables.tokens import token_uses
from infra.db.tables.trust import honeypots, person_trust

__all__ = [
    "adapter_proofs",
    "adapters",
    "api_keys",
    "audit_entries",
    "breaker_trips",
    "config_snapshots",
    "consumer_offsets",
    "dead_letters",
    "decisions",
    "dwell_models",
    "erased_people",
    "erasures",
    "experiment_looks",
    "experiment_states",
    "experiments",
    "exports",
    "exposures",
    "feedback_events",
    "honeypots",
    "interactions",
    "job_cursors",
    "job_runs",
    "label_bases",
    "labels",
    "leases",
    "metadata",
    "offline_online_points",
    "pairs",
    "pauses",
    "person_trust",
    "person_values",
    "reward_models",
    "reward_specifications",
    "selection_habits",
    "selection_models",
    "sentinels",
    "serving_state",
    "shadow_labels",
    "signal_validity",
    "taints",
    "token_uses",
    "tombstones",
]
