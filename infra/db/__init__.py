"""The store: SQLAlchemy 2.1 Core on SQLite (WAL) or PostgreSQL, one unit of work a boundary, Alembic migrations."""

from infra.db.database import Database, Dialect, NestedTransaction, StoreUnavailable
from infra.db.engines import InvalidStoreUrl
from infra.db.keyed import rows_by_keys
from infra.db.migration import current_revision, migrate, newest_revision, revision_of, revisions, upgrade
from infra.db.statements import insert_ignore, insert_ignore_columns, insert_ignore_many, upsert, upsert_many

__all__ = [
    "Database",
    "Dialect",
    "InvalidStoreUrl",
    "NestedTransaction",
    "StoreUnavailable",
    "current_revision",
    "insert_ignore",
    "insert_ignore_columns",
    "insert_ignore_many",
    "migrate",
    "newest_revision",
    "revision_of",
    "revisions",
    "rows_by_keys",
    "upgrade",
    "upsert",
    "upsert_many",
]
