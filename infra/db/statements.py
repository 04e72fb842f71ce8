"""Statements both stores understand: insert unless there, insert or update, and the fast way for many rows.

Many rows go to SQLite as one statement that the driver runs for each (with nothing around it, that is cheaper than
INSERTs of many rows: their programs are long, and cold), and to PostgreSQL by COPY into a temporary table and one
INSERT ... SELECT from it: some five times cheaper for the client than a statement a row. Small lots go as they are.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import psycopg
from sqlalchemy import JSON, ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from infra.db.database import Dialect

Insert = postgresql.Insert | sqlite.Insert

_PLAIN = re.compile(r"[A-Za-z0-9._{}\":,-]{1,256}")
"""Texts that need no escapes in a statement: names, and short JSON documents."""
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
    shared: Mapping[str, Any] | None = None,
) -> int:
    """Insert many rows, keeping those that are already there; returns how many were new.

    `rows` are tuples in the order of `columns`, and go to the driver as they are; JSON columns are serialised here,
    unless `json_encoded` says that they hold JSON text already. `shared`: columns of which all rows have the same
    value; they go to SQLite once for all rows.
    """
    lot = _Lot(table, columns, _as_parameters(table, columns, rows, json_encoded), shared or {})
    return _write(connection, lot, " ON CONFLICT DO NOTHING")


def insert_ignore_columns(
    connection: Connection,
    table: Table,
    columns: Mapping[str, Sequence[Any]],
    *,
    absent: Mapping[str, Any],
    shared: Mapping[str, Any],
) -> int:
    """`insert_ignore_many` on SQLite for rows that are there by column: none is built before the driver takes it.

    `absent`: for each column that may be None, what none of its values ever is. It goes to the database in the place of
    None and becomes NULL there, as Python's driver takes several times as long for a None as for anything else.
    """
    names, marks, given = [*shared], [], []
    bound = [value for value in shared.values() if _literal(value) is None]
    marks += [_literal(value) or "?" for value in shared.values()]
    for name, values in columns.items():
        names.append(name)
        if name in absent and not all(values):
            instead = absent[name]
            marks.append(f"nullif(?, {instead!r})")
            given.append([instead if value is None else value for value in values])
        else:
            marks.append("?")
            given.append(values)  # type: ignore[arg-type]
    quote = connection.dialect.identifier_preparer.quote
    listed = ", ".join(quote(table.columns[name].name) for name in names)
    sql = f"INSERT INTO {quote(table.name)} ({listed}) VALUES ({', '.join(marks)}) ON CONFLICT DO NOTHING"  # noqa: S608
    return _run_each(connection, sql, zip(*map(repeat, bound), *given, strict=not bound))


def _run_each(connection: Connection, sql: str, rows: Iterable[Sequence[Any]]) -> int:
    """Run a statement of SQLite for each of these rows of parameters, by the driver alone: SQLAlchemy's way there costs
    as much as twenty rows. Returns how many rows of the database were written."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    cursor = driver.cursor()
    try:
        cursor.executemany(sql, rows)
        return cursor.rowcount
    except sqlite3.Error as error:
        # As SQLAlchemy would: callers tell failures that pass from bad rows by its classes.
        raise DBAPIError.instance(sql, None, error, sqlite3.Error) from error
    finally:
        cursor.close()


def upsert_many(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    update: Sequence[str] | None = None,
    if_changed: Sequence[str] = (),
    json_encoded: bool = False,
    shared: Mapping[str, Any] | None = None,
) -> int:
    """Insert or update many rows by primary key, the fast way; returns how many rows were written. Of several rows with
    one key the last holds.

    `if_changed`: leave a row that is there alone unless one of these columns differs. `json_encoded` and `shared` as
    in `insert_ignore_many`.
    """
    lot = _Lot(table, columns, _as_parameters(table, columns, rows, json_encoded), shared or {})
    quote = connection.dialect.identifier_preparer.quote
    keys = [column.name for column in table.primary_key]
    updated = list(update) if update is not None else [name for name in lot.names if name not in keys]
    assignments = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in updated)
    target = ", ".join(quote(name) for name in keys)
    suffix = f" ON CONFLICT ({target}) DO UPDATE SET {assignments}"
    if if_changed:
        differs = "IS NOT" if connection.dialect.name == "sqlite" else "IS DISTINCT FROM"
        suffix += " WHERE " + " OR ".join(
            f"{quote(table.name)}.{quote(name)} {differs} excluded.{quote(name)}" for name in if_changed
        )
    return _write(connection, lot, suffix, [columns.index(name) for name in keys if name not in lot.shared])


@dataclass(frozen=True, slots=True)
class _Lot:
    """Rows for one table: tuples in the order of `columns`, and what all of them share."""

    table: Table
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shared: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """All columns, the shared ones first."""
        return [*self.shared, *self.columns]

    def whole(self) -> "_Lot":
        """The same rows with everything in each of them."""
        values = tuple(self.shared.values())
        return _Lot(self.table, self.names, [(*values, *row) for row in self.rows], {}) if values else self


def _write(connection: Connection, lot: _Lot, suffix: str, keys: Sequence[int] = ()) -> int:
    """`keys`: places of the primary key in a row, where the statement updates."""
    if not lot.rows:
        return 0
    if connection.dialect.name == "sqlite":
        return _insert_each(connection, lot, suffix)
    # One INSERT ... SELECT must not update a row twice.
    if len(lot.rows) >= COPY_ROWS and (
        not keys or len({tuple([row[k] for k in keys]) for row in lot.rows}) == len(lot.rows)
    ):
        return _copy(connection, lot.whole(), suffix)
    one = lot.whole()
    marks = ["%s"] * len(one.columns)
    return _execute(connection, _insert_sql(connection, one, marks) + suffix, [tuple(row) for row in one.rows])


def _insert_each(connection: Connection, lot: _Lot, suffix: str) -> int:
    """One statement, prepared once and run by the driver for each row. What rows share stands in the statement itself
    where that is short and plain, so that it is bound for none of them."""
    said = {name: _literal(value) for name, value in lot.shared.items()}
    bound = tuple([value for name, value in lot.shared.items() if said[name] is None])
    marks = [said[name] or "?" for name in lot.shared] + ["?"] * len(lot.columns)
    rows = lot.rows if not bound else [(*bound, *row) for row in lot.rows]
    return _run_each(connection, _insert_sql(connection, lot, marks) + suffix, rows)


def _literal(value: Any) -> str | None:
    """The value as a literal of SQL; None where it is better bound."""
    if type(value) is int:
        return str(value)
    return f"'{value}'" if isinstance(value, str) and _PLAIN.fullmatch(value) else None


def _insert_sql(connection: Connection, lot: _Lot, marks: Sequence[str]) -> str:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(lot.table.columns[name].name) for name in lot.names)
    return f"INSERT INTO {quote(lot.table.name)} ({names}) VALUES ({', '.join(marks)})"  # noqa: S608


def _copy(connection: Connection, rows_of: _Lot, suffix: str) -> int:
    table, columns, rows = rows_of.table, rows_of.columns, rows_of.rows
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
