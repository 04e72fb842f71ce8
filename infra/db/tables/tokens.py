"""What is remembered of feedback tokens while they live: to whom they are bound, and what was sent with them."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from infra.db.tables.base import instant, metadata, project_column

token_uses = Table(
    "token_uses",
    metadata,
    project_column(),
    Column("token_id", String(24), primary_key=True),
    Column("nonce_hash", LargeBinary, nullable=False),  # 16 bytes, of the first browser that used it
    Column("reserved", Integer, nullable=False),  # events let in so far, those on their way to the log included
    Column("seen", LargeBinary, nullable=False),  # 8 bytes an event that is durable in the log
    instant("expires_at"),  # the row may go after this
    Index(None, "project", "expires_at"),
    sqlite_with_rowid=False,
)
