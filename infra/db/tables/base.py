"""Metadata with deterministic constraint names (Alembic needs them) and the few column helpers tables share."""

from typing import Any

from sqlalchemy import JSON, Column, Double, MetaData, String
from sqlalchemy.dialects import postgresql

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

JSON_DOCUMENT = JSON().with_variant(postgresql.JSONB(), "postgresql")
"""A JSON document; JSONB on PostgreSQL."""


def project_column(*, primary_key: bool = True) -> Column[str]:
    """The product a row belongs to."""
    return Column("project", String(63), primary_key=primary_key, nullable=False)


def instant(name: str, *, nullable: bool = False, **more: Any) -> Column[float]:
    """A point in time: Unix seconds, UTC, double precision (about 0.2 us in this century)."""
    return Column(name, Double, nullable=nullable, **more)
