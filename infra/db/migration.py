"""Migrations: Alembic, packaged with the code, under a version table of our own (MLflow keeps the default name)."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from infra.db.database import Database

if TYPE_CHECKING:  # Alembic takes a tenth of a second to import, which only migrations should pay
    from alembic.config import Config

VERSION_TABLE = "plaudit_alembic_version"

SCRIPTS = Path(__file__).parent / "migrations"

_ADVISORY_LOCK = 0x506C_6175_6469_7401  # "Plaudit" 1: no other user of this PostgreSQL is likely to take it


def migrate(url: str) -> str:
    """Bring the schema to the newest revision and return it. Safe to call from several processes at once.

    Everything happens in one transaction that first takes the store's write lock (SQLite) or an advisory lock
    (PostgreSQL): the second caller waits, then finds nothing to do. A failure leaves the old schema as it was.
    """
    from alembic import command

    database = Database.open(url)
    try:
        with database.transaction() as connection:
            if database.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.close()
    return newest_revision()


def current_revision(url: str) -> str | None:
    """The revision the store is at; None for a store without our schema."""
    from alembic.runtime.migration import MigrationContext

    database = Database.open(url)
    try:
        with database.reading() as connection:
            return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    finally:
        database.close()


def newest_revision() -> str:
    """The revision this version of the code needs."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None, "the package ships at least one migration"
    return head


def alembic_config() -> "Config":
    """Alembic's configuration, made here: there is no ini file to find."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
