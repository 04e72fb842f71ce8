import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from infra.db import Database, current_revision, migrate, newest_revision
from infra.db.autogenerate import INITIAL, initial_migration
from infra.db.migration import VERSION_TABLE
from infra.db.tables import metadata


def test_migrated_schema_equals_the_tables(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_migrated_sqlite_has_the_very_definitions_of_create_all(tmp_path: Path) -> None:
    """Independent of Alembic's comparison, which does not see WITHOUT ROWID."""
    migrate(f"sqlite:///{tmp_path}/migrated.sqlite3")
    created = Database.open(f"sqlite:///{tmp_path}/created.sqlite3")
    with created.transaction() as connection:
        metadata.create_all(connection)
    migrated = Database.open(f"sqlite:///{tmp_path}/migrated.sqlite3")
    assert _definitions(migrated) == _definitions(created)
    without = {name for name, sql in _definitions(created).items() if "WITHOUT ROWID" in sql}
    assert {"interactions", "labels"} <= without
    assert "feedback_events" not in without
    created.close()
    migrated.close()


def _definitions(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")).all()
    return {name: " ".join(sql.split()) for name, sql in rows if name != VERSION_TABLE}


def test_revision_before_and_after(empty_url: str) -> None:
    assert current_revision(empty_url) is None
    assert migrate(empty_url) == newest_revision()
    assert current_revision(empty_url) == newest_revision()


def test_version_table_is_our_own(database: Database) -> None:
    with database.reading() as connection:
        names = inspect(connection).get_table_names()
    assert VERSION_TABLE in names
    assert "alembic_version" not in names


def test_migrating_twice_and_at_once_is_harmless(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        revisions = list(pool.map(migrate, [empty_url] * 4))
    assert set(revisions) == {newest_revision()}
    database = Database.open(empty_url)
    with database.reading() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM {VERSION_TABLE}")).scalar() == 1
    database.close()


def test_processes_may_migrate_at_once(empty_url: str) -> None:
    program = "import sys; from infra.db import migrate; print(migrate(sys.argv[1]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, empty_url], stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert said == [newest_revision()] * 3


def test_a_failed_migration_leaves_nothing_behind(empty_url: str) -> None:
    """A table in the way makes the upgrade fail half-way; the transaction takes back what came before it."""
    database = Database.open(empty_url)
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE serving_state (unexpected INTEGER)"))
    with pytest.raises(DBAPIError, match="serving_state"):
        migrate(empty_url)
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["serving_state"]
    database.close()


def test_the_committed_migration_is_what_the_tables_generate() -> None:
    committed, generated = (ast.dump(ast.parse(text)) for text in (INITIAL.read_text(), initial_migration()))
    assert committed == generated, "run `python -m infra.db.autogenerate` and `ruff format infra/db`"
