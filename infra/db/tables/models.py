"""Adapters, reward models, what is served, and the proof by replica."""

from sqlalchemy import Column, Double, Index, Integer, String, Table, Text, text

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

adapters = Table(
    "adapters",
    metadata,
    project_column(),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("base_model_hash", String(64), nullable=False),
    Column("file_hashes", JSON_DOCUMENT, nullable=False),
    Column("fingerprint", JSON_DOCUMENT, nullable=False),
    Column("state", String(16), nullable=False),
    Column("parent", String(80), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("lineage", JSON_DOCUMENT, nullable=False),
    Column("gate", JSON_DOCUMENT, nullable=False),
    instant("created_at"),
    Index(None, "project", "state"),
)

serving_state = Table(
    "serving_state",
    metadata,
    project_column(),
    Column("champion", String(80), nullable=False),
    Column("last_proven", String(80), nullable=False),  # the champion before: stays loaded, rollback is a pointer move
    Column("decision_id", String(36), nullable=False),
    instant("updated_at"),
)

adapter_proofs = Table(
    "adapter_proofs",
    metadata,
    project_column(),
    Column("replica", String(64), primary_key=True),
    Column("adapter", String(80), primary_key=True),
    Column("status", String(24), nullable=False),  # proven, indistinguishable, refused, unloaded
    Column("detail", JSON_DOCUMENT, nullable=False),  # distances, margin, noise, reason
    instant("proved_at"),
)

reward_models = Table(
    "reward_models",
    metadata,
    project_column(),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("base_model_hash", String(64), nullable=False),
    Column("file_hashes", JSON_DOCUMENT, nullable=False),
    Column("metrics", JSON_DOCUMENT, nullable=False),
    Column("data_hash", String(64), nullable=False),
    Column("labels_used", Integer, nullable=False),
    Column("labels_as_of", String(32), nullable=False),
    Column("run_id", String(64), nullable=False),
    instant("created_at"),
    Column("state", String(16), nullable=False, server_default="challenger"),  # champion, challenger, former
    Column("promoted_at", Double),  # when it became champion; NULL for one that never did
    Index(
        "uq_reward_models_champion",
        "project",
        "name",
        unique=True,
        sqlite_where=text("state = 'champion'"),
        postgresql_where=text("state = 'champion'"),
    ),
)
