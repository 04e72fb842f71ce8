"""What was predicted of candidates and what people did: one row a candidate and objective, kept for ever."""

from sqlalchemy import Column, Double, Index, Integer, String, Table

from infra.db.tables.base import instant, metadata, project_column

# Sums over many people and names of adapters: nothing here is anybody's, so nothing here is ever erased. The realised
# half is NULL until the candidate's experiment has ended and settled; then it is written once.
offline_online_points = Table(
    "offline_online_points",
    metadata,
    project_column(),
    Column("candidate", String(80), primary_key=True),  # name@version
    Column("objective", String(64), primary_key=True),
    Column("control", String(80), nullable=False),  # what the candidate was compared with when it was predicted
    Column("reward_model", String(80), nullable=False),  # name@version that predicted
    Column("prompt_set", String(64), nullable=False),  # SHA-256 of the fixed prompts
    Column("prompts", Integer, nullable=False),
    Column("predicted", Double, nullable=False),
    Column("predicted_error", Double, nullable=False),
    Column("predicted_control", Double),
    Column("predicted_control_error", Double),
    instant("predicted_at"),
    Column("experiment_id", String(64)),
    Column("realised", Double),
    Column("realised_error", Double),
    Column("realised_people", Integer),
    Column("realised_control", Double),
    Column("realised_control_error", Double),
    Column("realised_control_people", Integer),
    instant("realised_at", nullable=True),
    Index(None, "project", "objective", "realised_at"),
)
