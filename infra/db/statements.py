"""Statements both stores understand: insert unless there, insert or update, and the fast way for many rows.

Many rows go to SQLite as INSERTs of `CHUNK_ROWS` rows each, and to PostgreSQL by COPY into a temporary table and one
INSERT ... SELECT from it: some five times cheaper for the client than a statement a row. Small lots go as they are.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import psycopg
from sqlalchemy import JSON, ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from infra.db.database import Dialect

Insert = postgresql.Insert | sqlite.Insert

CHUNK_ROWS = 64
"""Rows of one INSERT on SQLite: more gain little, and the statement's parameters stay below its limit of 32,766."""
COPY_ROWS = 32
"""From so many rows on COPY wins over pipelined single statements on PostgreSQL."""


def insert(table: Table, dialect: Dialect) -> Insert:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def insert_ignore(table: Table, dialect: Dialect) -> Insert:
    """INSERT ... ON CONFLICT DO NOTHING: a row that is already there wins. Chain `.values(...)` or pass rows."""
    return insert(table, dialect).on_conflict_do_nothing()


def upsert(
    table: Table,
    dialect: Dialect,
    *,
    update: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    where: ColumnElement[bool] | None = None,
) -> Insert:
    """INSERT ... ON CONFLICT (keys) DO UPDATE SET update = the new row's, optionally only `where`.

    `keys` default to the primary key, `update` to every other column. Chain `.values(...)` or pass rows to execute.
    """
    key_names = list(keys) if keys is not None else [column.name for column in table.primary_key]
    updated = list(update) if update is not None else [c.name for c in table.columns if c.name not in key_names]
    statement = insert(table, dialect)
    return statement.on_conflict_do_update(
        index_elements=key_names, set_={name: statement.excluded[name] for name in updated}, where=where
    )


def insert_ignore_many(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    json_encoded: bool = False,
) -> int:
    """Insert many rows, keeping those that are already there; returns how many were new.

    `rows` are tuples in the order of `columns`, and go to the driver as they are; JSON columns are serialised here,
    unless `json_encoded` says that they hold JSON text already.
    """
    parameters = _as_parameters(table, columns, rows, json_encoded)
    return _write(connection, table, columns, parameters, " ON CONFLICT DO NOTHING")


def upsert_many(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    update: Sequence[str] | None = None,
    if_changed: Sequence[str] = (),
    json_encoded: bool = False,
) -> int:
    """Insert or update many rows by primary key, the fast way; returns how many rows were written. Of several rows with
    one key the last holds.

    `if_changed`: leave a row that is there alone unless one of these columns differs. `json_encoded` as in
    `insert_ignore_many`.
    """
    parameters = _as_parameters(table, columns, rows, json_encoded)
    quote = connection.dialect.identifier_preparer.quote
    keys = [column.name for column in table.primary_key]
    updated = list(update) if update is not None else [name for name in columns if name not in keys]
    assignments = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in updated)
    target = ", ".join(quote(name) for name in keys)
    suffix = f" ON CONFLICT ({target}) DO UPDATE SET {assignments}"
    if if_changed:
        differs = "IS NOT" if connection.dialect.name == "sqlite" else "IS DISTINCT FROM"
        suffix += " WHERE " + " OR ".join(
            f"{quote(table.name)}.{quote(name)} {differs} excluded.{quote(name)}" for name in if_changed
        )
    return _write(connection, table, columns, parameters, suffix, [columns.index(name) for name in keys])


def _write(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: list[Sequence[Any]],
    suffix: str,
    keys: Sequence[int] = (),
) -> int:
    """`keys`: places of the primary key in a row, where the statement updates."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        return _insert_chunks(connection, table, columns, rows, suffix)
    # One INSERT ... SELECT must not update a row twice.
    if len(rows) >= COPY_ROWS and (not keys or len({tuple([row[k] for k in keys]) for row in rows}) == len(rows)):
        return _copy(connection, table, columns, rows, suffix)
    return _execute(connection, _insert_sql(connection, table, columns, 1) + suffix, [tuple(row) for row in rows])


def _insert_chunks(
    connection: Connection, table: Table, columns: Sequence[str], rows: list[Sequence[Any]], suffix: str
) -> int:
    written = 0
    whole = len(rows) - len(rows) % CHUNK_ROWS
    if whole:
        sql = _insert_sql(connection, table, columns, CHUNK_ROWS) + suffix
        for start in range(0, whole, CHUNK_ROWS):
            written += _execute(connection, sql, tuple(chain.from_iterable(rows[start : start + CHUNK_ROWS])))
    if whole < len(rows):
        sql = _insert_sql(connection, table, columns, 1) + suffix
        written += _execute(connection, sql, [tuple(row) for row in rows[whole:]])
    return written


def _insert_sql(connection: Connection, table: Table, columns: Sequence[str], rows: int) -> str:
    quote = connection.dialect.identifier_preparer.quote
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    names = ", ".join(quote(table.columns[name].name) for name in columns)
    values = ", ".join([f"({', '.join([mark] * len(columns))})"] * rows)
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES {values}"  # noqa: S608


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: list[Sequence[Any]], suffix: str) -> int:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(table.columns[name].name) for name in columns)
    lot = quote(f"incoming_{table.name}_{len(columns)}")
    # Made AS SELECT, it has the types and none of the constraints. It stays with the connection, empty between lots.
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {lot} ON COMMIT DELETE ROWS AS SELECT {names} FROM {quote(table.name)} "  # noqa: S608
        "WITH NO DATA"
    )
    copy = f"COPY {lot} ({names}) FROM STDIN"
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        with driver.cursor() as cursor, cursor.copy(copy) as stream:
            for row in rows:
                stream.write_row(row)
    except psycopg.Error as error:
        # Beside SQLAlchemy's own road: callers tell failures that pass from bad rows by SQLAlchemy's classes.
        raise DBAPIError.instance(copy, None, error, psycopg.Error) from error
    return _execute(
        connection,
        f"WITH lot AS (DELETE FROM {lot} RETURNING {names}) INSERT INTO {quote(table.name)} ({names}) "  # noqa: S608
        f"SELECT {names} FROM lot{suffix}",
        (),
    )


def _as_parameters(
    table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]], json_encoded: bool
) -> list[Sequence[Any]]:
    documents = [index for index, name in enumerate(columns) if isinstance(table.columns[name].type, JSON)]
    if json_encoded or not documents:
        return list(rows)
    parameters: list[Sequence[Any]] = []
    for row in rows:
        values = list(row)
        for index in documents:
            values[index] = json.dumps(values[index])
        parameters.append(tuple(values))
    return parameters


def _execute(connection: Connection, sql: str, parameters: Any) -> int:
    result = connection.exec_driver_sql(sql, parameters or None, execution_options={"preserve_rowcount": True})
    return int(result.rowcount)
