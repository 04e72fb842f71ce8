"""How far each person is trusted, version by version, and the pairs whose better answer is known."""

from sqlalchemy import Column, Double, Index, Integer, String, Table, Text

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

person_trust = Table(
    "person_trust",
    metadata,
    project_column(),
    Column("user_key", String(64), primary_key=True),
    instant("estimated_at", primary_key=True),  # append-only: a later estimate is a later row
    instant("votes_until"),  # the ledger as received up to here is what the estimate was made of
    Column("weight", Double, nullable=False),  # [0, 1]: what multiplies each of the person's votes
    Column("reliability", Double, nullable=False),  # posterior mean share of votes that follow a taste, [0, 1]
    Column("reliability_low", Double, nullable=False),  # 95 % interval of it
    Column("reliability_high", Double, nullable=False),
    Column("votes", Integer, nullable=False),  # opinions the estimate rests on
    Column("status", String(16), nullable=False),  # active, quarantined
    Column("reasons", JSON_DOCUMENT, nullable=False),  # words, for people; never another person's key
    Column("config_hash", String(64), nullable=False),
    Index(None, "project", "estimated_at"),
)

honeypots = Table(
    "honeypots",
    metadata,
    project_column(),
    Column("honeypot_id", String(36), primary_key=True),
    Column("preferred_response_id", String(128), nullable=False),
    Column("preferred_choice", Integer, nullable=False),
    Column("other_response_id", String(128), nullable=False),
    Column("other_choice", Integer, nullable=False),
    Column("reason", Text, nullable=False),  # why the one is known to be better
    instant("added_at"),
    instant("retired_at", nullable=True),
    Index(None, "project", "added_at"),
)
