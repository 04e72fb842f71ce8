"""Rows by a list of keys, walked key by key on both stores, whatever they know about their tables.

SQLite without statistics takes every index to have ten rows for its first column and one fewer for each further one, so
`a = ? AND b IN (400 keys)` seems forty times dearer than reading everything with `a = ?`, and a join may begin with the
other table. Hence:

- an outer join that begins with the list of keys: its order is no choice;
- an equality for every column of an index up to the key's;
- in a table clustered by its primary key, where reading all rows of that key's first column would still seem cheaper,
  the primary keys first, which the index holds, and then the rows by them.

With statistics SQLite comes to the same plan, and PostgreSQL by its own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    String,
    TableValuedAlias,
    and_,
    func,
    literal,
    select,
)


def rows_by_keys(
    connection: Connection,
    columns: Sequence[ColumnElement[Any]],
    key: Column[str],
    keys: Sequence[str],
    fixed: Mapping[str, Any],
    *where: ColumnElement[bool],
) -> list[Row[Any]]:
    """`columns` of the rows of `key`'s table whose `key` is one of `keys`, whose columns `fixed` have these values
    (None: NULL), and for which `where` holds, in no order. A row's attributes are the columns' names.

    `key` and `fixed` are to be the first columns of an index or of the primary key.
    """
    if not keys:
        return []
    table, wanted = key.table, _listed(connection, list(dict.fromkeys(keys)))
    if _clustered_by_others(key):
        by_key = table.alias("by_key")
        found = wanted.outerjoin(by_key, _here(by_key, key, wanted, fixed)).outerjoin(
            table, and_(*(column == by_key.columns[column.name] for column in table.primary_key), *where)
        )
    else:
        found = wanted.outerjoin(table, and_(_here(table, key, wanted, fixed), *where))
    # What has no partner is left out here: a condition in the query would make an inner join of it again.
    query: Select[Any] = select(*columns, key.label("found_by")).select_from(found)
    return [row for row in connection.execute(query) if row.found_by is not None]


def _clustered_by_others(key: Column[str]) -> bool:
    table = key.table
    return table.dialect_options["sqlite"]["with_rowid"] is False and key.name not in table.primary_key.columns


def _here(
    table: FromClause, key: Column[str], wanted: TableValuedAlias, fixed: Mapping[str, Any]
) -> ColumnElement[bool]:
    columns = table.columns
    return and_(columns[key.name] == wanted.columns.value, *(columns[name] == value for name, value in fixed.items()))


def _listed(connection: Connection, keys: list[str]) -> TableValuedAlias:
    """A table of one column, `value`; the list is one parameter."""
    if connection.dialect.name == "sqlite":
        return func.json_each(literal(json.dumps(keys), String)).table_valued("value", name="wanted")
    listed = func.unnest(literal(keys, ARRAY(String))).table_valued("value", name="wanted")
    return listed.render_derived()
