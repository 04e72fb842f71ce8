"""Experiments, exposures, frozen person values, and the ledger of decisions."""

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, String, Table, Text

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

experiments = Table(
    "experiments",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("challenger", String(80), nullable=False),
    Column("control", String(80), nullable=False),
    Column("salt", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("phases", JSON_DOCUMENT, nullable=False),
    Column("config", JSON_DOCUMENT, nullable=False),
    instant("started_at"),
    instant("ended_at", nullable=True),
    Column("kind", String(16), nullable=False),
    Column("others", JSON_DOCUMENT, nullable=False),  # further candidates at the same time
    Column("slot", JSON_DOCUMENT, nullable=False),  # [low, high) of the project's people
    instant("paused_at", nullable=True),
    Index(None, "project", "status"),
)

exposures = Table(
    "exposures",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("user_key", String(64), primary_key=True),
    Column("arm", String(16), nullable=False),
    Column("propensity", Double, nullable=False),  # at first exposure: the one that counts
    Column("phase", Integer, nullable=False),
    Column("arms_seen", Integer, nullable=False),  # 1, or 2 when the person was seen in both: counted and excluded
    instant("first_at"),
    Column("stage", Integer, nullable=False),  # 0: in no count yet; n: values frozen of n - 1 groups; -1: a flip, done
    Column("answers", Integer),  # answers in the window and the person's own signals on them; NULL: not frozen yet
    Index(None, "project", "experiment_id", "stage", "first_at"),
    Index(None, "project", "experiment_id", "arm", "answers"),
)

person_values = Table(
    "person_values",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("user_key", String(64), primary_key=True),
    Column("metric", String(32), primary_key=True),
    Column("value", Double),  # NULL: no value for this person (no answer shown, say)
    Column("arm", String(16), nullable=False),
    Column("propensity", Double, nullable=False),
    Column("phase", Integer, nullable=False),
    Column("denominator", Double),  # of a ratio
    Column("covariate", Double),  # of before the first exposure; NULL: nothing is known from then
    instant("frozen_at"),  # window close + allowed lateness: never changed afterwards
    Index(None, "project", "experiment_id", "metric", "frozen_at"),
)

# Everything that was counted of a pair of arms (a candidate and the control), as sums: written together with the rows
# that it counts. It has no key of a person, and stays when a person's rows are erased.
experiment_states = Table(
    "experiment_states",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("arm", String(16), primary_key=True),  # the candidate's; empty: of the whole experiment
    Column("metric", String(128), primary_key=True),  # or what else is counted: see `ab_testing.standing`
    Column("state", LargeBinary, nullable=False),
    Column("people", Integer, nullable=False),
    Column("counted_through", Double, nullable=False),  # greatest frozen_at (or first_at) that is in the state
)

# What looks saw, for people to see: sums, so nobody's, and thinned, so few. Nothing is decided by it.
experiment_looks = Table(
    "experiment_looks",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("arm", String(16), primary_key=True),
    Column("metric", String(32), primary_key=True),  # or `:exposed`
    Column("people", Integer, primary_key=True),
    instant("at"),  # logical time of the look
    Column("people_challenger", Integer, nullable=False),
    Column("people_control", Integer, nullable=False),
    Column("rate_challenger", Double),
    Column("rate_control", Double),
    Column("log_e_better", Double),
    Column("log_e_worse", Double),
    Column("log_e_not_inferior", Double),
    Column("effect", Double),
    Column("low", Double),
    Column("high", Double),
)

# The champion against itself, on paper: never routed, so it is no row of `experiments`, which says what runs.
sentinels = Table(
    "sentinels",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("champion", String(80), nullable=False),
    Column("salt", String(64), nullable=False),
    Column("config", JSON_DOCUMENT, nullable=False),
    instant("started_at"),
    instant("ended_at", nullable=True),
    Column("alarm", Text, nullable=False),  # what it found; empty: nothing, as it should be
    instant("acknowledged_at", nullable=True),
    Column("acknowledgement", Text, nullable=False),  # the reason a person gave
    Index(None, "project", "started_at"),
)

breaker_trips = Table(
    "breaker_trips",
    metadata,
    project_column(),
    Column("experiment_id", String(64), primary_key=True),
    Column("arm", String(16), primary_key=True),
    Column("replica", String(128), primary_key=True),  # the gateway that gave up on the arm by itself
    Column("reason", Text, nullable=False),
    instant("tripped_at"),
)

decisions = Table(
    "decisions",
    metadata,
    project_column(),
    Column("sequence", Integer, primary_key=True),
    Column("decision_id", String(36), nullable=False, unique=True),
    Column("experiment_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON_DOCUMENT, nullable=False),
    Column("config_hash", String(64), nullable=False),
    instant("watermark"),
    instant("decided_at"),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
