"""What makes labels true: specifications, what each final label rests on, models of reading and of who votes."""

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, String, Table

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

reward_specifications = Table(
    "reward_specifications",
    metadata,
    project_column(),
    Column("config_hash", String(64), primary_key=True),  # as labels carry it
    Column("document", JSON_DOCUMENT, nullable=False),
    instant("first_used_at"),
)

# What each version of a final label was made from, so that it can be made again, bit for bit. It holds ids and numbers
# only, nothing a person said and no key of a person, and outlives erasure: it is what names the rows that are gone.
label_bases = Table(
    "label_bases",
    metadata,
    project_column(),
    Column("labelled_response_id", String(128), primary_key=True),
    Column("choice", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("config_hash", String(64), nullable=False),
    instant("made_at"),
    instant("window_closes_at"),
    Column("basis", JSON_DOCUMENT, nullable=False),
    Column("seen", LargeBinary, nullable=False),  # the event ids counted, 16 bytes each, sorted
    Index(None, "project", "made_at"),
    sqlite_with_rowid=False,
)

shadow_labels = Table(
    "shadow_labels",
    metadata,
    project_column(),
    Column("config_hash", String(64), primary_key=True),
    Column("response_id", String(128), primary_key=True),
    Column("choice", Integer, primary_key=True),
    Column("objective_values", JSON_DOCUMENT, nullable=False),
    Column("weights", JSON_DOCUMENT, nullable=False),
    instant("made_at"),
    sqlite_with_rowid=False,
)

dwell_models = Table(
    "dwell_models",
    metadata,
    project_column(),
    Column("version", Integer, primary_key=True),
    Column("readings", Integer, nullable=False),
    Column("document", JSON_DOCUMENT, nullable=False),  # coefficients and residual quantiles by device class
    instant("fitted_at"),
)

selection_models = Table(
    "selection_models",
    metadata,
    project_column(),
    Column("version", Integer, primary_key=True),
    Column("votes", Integer, nullable=False),
    Column("document", JSON_DOCUMENT, nullable=False),  # features, coefficients by fold, calibration
    Column("report", JSON_DOCUMENT, nullable=False),  # raw and corrected rates, bounds, effective sample size
    instant("fitted_at"),
)

selection_habits = Table(
    "selection_habits",
    metadata,
    project_column(),
    Column("version", Integer, primary_key=True),  # of the selection model they were counted for
    Column("user_key", String(64), primary_key=True),
    Column("shown", Integer, nullable=False),
    Column("voted", Integer, nullable=False),
    sqlite_with_rowid=False,
)

signal_validity = Table(
    "signal_validity",
    metadata,
    project_column(),
    instant("made_at", primary_key=True),
    Column("objective", String(64), primary_key=True),
    Column("verdict", String(16), nullable=False),  # predicts, contradicts, unclear, too_few
    Column("effect", Double),  # change of P(return) from value 0 to value 1, covariates held
    Column("low", Double),
    Column("high", Double),
    Column("people", Integer, nullable=False),
    Column("detail", JSON_DOCUMENT, nullable=False),
)
