"""Migrations: Alembic, packaged with the code, under a version table of our own (MLflow keeps the default name)."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

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
    database = Database.open(url)
    try:
        with database.transaction() as connection:
            upgrade(connection)
    finally:
        database.close()
    return newest_revision()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """The same inside the caller's transaction, up to a revision. Raises what Alembic raises for an unknown one."""
    from alembic import command

    _lock(connection)
    command.upgrade(_on(connection), revision)


def downgrade(connection: Connection, revision: str = "base") -> None:
    """Take the schema back to a revision (`base`: to nothing), with whatever only later ones could hold. For whoever
    must return to an older version: take a backup first."""
    from alembic import command

    _lock(connection)
    command.downgrade(_on(connection), revision)


def current_revision(url: str) -> str | None:
    """The revision the store is at; None for a store without our schema."""
    database = Database.open(url)
    try:
        with database.reading() as connection:
            return revision_of(connection)
    finally:
        database.close()


def revision_of(connection: Connection) -> str | None:
    """The revision of the store behind a connection; None for a store without our schema."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def revisions() -> list[str]:
    """Every revision this version of the code knows, oldest first."""
    from alembic.script import ScriptDirectory

    walked = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return [script.revision for script in walked][::-1]


def newest_revision() -> str:
    """The revision this version of the code needs."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None, "the package ships at least one migration"
    return head


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def _on(connection: Connection) -> "Config":
    config = alembic_config()
    config.attributes["connection"] = connection
    return config


def alembic_config() -> "Config":
    """Alembic's configuration, made here: there is no ini file to find."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
