"""Up and down from every revision with rows in every table: what both ends know comes through as it was."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, inspect, select
from sqlalchemy.types import JSON, Boolean, Float, Integer, LargeBinary, Numeric

from infra.db import Database, migration, revisions, upgrade
from infra.db.migration import VERSION_TABLE, downgrade, revision_of

ROWS = 3
Rows = dict[str, list[dict[str, Any]]]


def tables_of(connection: Connection) -> dict[str, Table]:
    """The tables as they are in the store, not as the code has them now."""
    found = MetaData()
    found.reflect(connection)
    return {name: table for name, table in found.tables.items() if name != VERSION_TABLE}


def value(column: Column[Any], row: int) -> Any:
    """Something to store; a nullable column that is no key is empty in the first row."""
    if column.nullable and not column.primary_key and row == 0:
        return None
    kind = column.type
    if isinstance(kind, JSON):
        return {"row": row, "text": "ä\n\t\\", "list": [1, 2.5, None]}
    if isinstance(kind, LargeBinary):
        return bytes((row, 0, 255, 10))
    if isinstance(kind, Boolean):
        return row % 2 == 1
    if isinstance(kind, Integer):
        return row + 1
    if isinstance(kind, Float | Numeric):
        return 1_700_000_000.25 + row
    return f"{row}é\\"[: getattr(kind, "length", None) or 99]


def fill(connection: Connection) -> Rows:
    """Rows into every table; what is there afterwards."""
    for table in tables_of(connection).values():
        connection.execute(
            table.insert(), [{column.name: value(column, row) for column in table.columns} for row in range(ROWS)]
        )
    return read(connection)


def read(connection: Connection) -> Rows:
    return {
        name: [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))]
        for name, table in tables_of(connection).items()
    }


def assert_kept(before: Rows, after: Rows) -> None:
    """Tables and columns that are on both sides hold the same rows."""
    for name in before.keys() & after.keys():
        shared = before[name][0].keys() & after[name][0].keys() if after[name] else before[name][0].keys()
        assert [{key: row[key] for key in shared} for row in after[name]] == [
            {key: row[key] for key in shared} for row in before[name]
        ], name


def there_and_back(url: str, revision: str) -> None:
    """From `revision` with rows to the newest, back to it, to nothing, and up again."""
    database = Database.open(url)
    try:
        with database.transaction() as connection:
            upgrade(connection, revision)
            old = fill(connection)
            assert len(old) > 20
        with database.transaction() as connection:
            upgrade(connection)
            assert revision_of(connection) == revisions()[-1]
            assert_kept(old, read(connection))
        with database.transaction() as connection:
            downgrade(connection, revision)
            assert revision_of(connection) == revision
            back = read(connection)
            assert {name: back[name][0].keys() for name in back} == {name: old[name][0].keys() for name in old}
            assert_kept(old, back)
        with database.transaction() as connection:
            downgrade(connection)
            assert inspect(connection).get_table_names() == [VERSION_TABLE]
            upgrade(connection)
            assert len(tables_of(connection)) >= len(old)
    finally:
        database.close()


@pytest.mark.parametrize("revision", revisions())
def test_rows_come_through_from_every_revision(empty_url: str, revision: str) -> None:
    there_and_back(empty_url, revision)


SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0099_example"
down_revision = {before!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("leases") as table:
        table.add_column(sa.Column("note", sa.Text()))
    {more}


def downgrade() -> None:
    with op.batch_alter_table("leases") as table:
        table.drop_column("note")
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, to which a test adds one."""
    copied = tmp_path / "migrations"
    shutil.copytree(migration.SCRIPTS, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migration, "SCRIPTS", copied)
    return copied


@pytest.mark.parametrize(
    ("more", "harmless"),
    [
        pytest.param("pass", True, marks=pytest.mark.full),
        ("op.execute('DELETE FROM job_runs')", False),
        pytest.param("op.drop_column('labels', 'heard')", False, marks=pytest.mark.full),
    ],
)
def test_a_migration_that_loses_rows_would_show(tmp_path: Path, scripts: Path, more: str, harmless: bool) -> None:
    first = revisions()[-1]
    (scripts / "versions" / "0099_example.py").write_text(SECOND.format(before=first, more=more))
    url = f"sqlite:///{tmp_path}/store.sqlite3"
    assert revisions()[-2:] == [first, "0099_example"]
    if harmless:
        there_and_back(url, first)
    else:
        with pytest.raises(AssertionError, match=r"job_runs|labels"):
            there_and_back(url, first)
