"""Jobs: their leases, runs and pauses; and the configurations runs were made under."""

from sqlalchemy import Column, Double, Index, String, Table, Text, text

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

leases = Table(
    "leases",
    metadata,
    project_column(),
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    instant("expires_at"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("run_id", String(36), primary_key=True),
    project_column(primary_key=False),
    Column("job", String(64), nullable=False),
    Column("holder", String(128), nullable=False),
    Column("status", String(16), nullable=False),  # running, done, skipped, deferred, failed, abandoned
    Column("detail", Text, nullable=False),
    Column("progress", JSON_DOCUMENT, nullable=False),
    Column("config_hash", String(64), nullable=False),
    instant("started_at"),
    instant("heartbeat_at"),
    instant("ended_at", nullable=True),
    Column("due_at", Double),  # the fire it is a run of; NULL: by hand or by evidence
    Column("cause", Text, nullable=False, server_default=text("''")),  # why it ran, if not by time
    Index(None, "project", "job", "started_at"),
)

# Up to which of its fires a job is settled: moved in the transaction that ends a run, or that commits its result.
job_cursors = Table(
    "job_cursors",
    metadata,
    project_column(),
    Column("job", String(64), primary_key=True),
    Column("settled_through", Double, nullable=False),
)

# What a person has stopped; a row stands while it is stopped, and goes when it may go on. Who and why also stands in
# the audit trail, for ever.
pauses = Table(
    "pauses",
    metadata,
    project_column(),
    Column("subject", String(64), primary_key=True),  # loop, promotion, or the name of a job
    Column("actor", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    instant("paused_at"),
)

config_snapshots = Table(
    "config_snapshots",
    metadata,
    Column("config_hash", String(64), primary_key=True),
    Column("document", JSON_DOCUMENT, nullable=False),
    instant("first_seen_at"),
)
