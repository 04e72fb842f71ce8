"""What repositories that look rows up by lists of ids share: one connection, one project, lists as one parameter."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, text


class ByIdsRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._sqlite = connection.dialect.name == "sqlite"

    @property
    def _in(self) -> str:
        return "IN (SELECT value FROM json_each(:ids))" if self._sqlite else "= ANY(:ids)"

    def _list(self, ids: list[str]) -> str | list[str]:
        return msgspec.json.encode(ids).decode() if self._sqlite else ids

    def _by_ids(
        self, table: str, key: str, columns: str, ids: Iterable[str], more: str = "", **given: Any
    ) -> Sequence[Any]:
        wanted = sorted(set(ids))
        if not wanted:
            return []
        if self._sqlite:  # a join that begins with the list: IN would first make a table of it
            selected = ", ".join(f"{table}.{name}" for name in columns.split(", "))
            source, condition = f"json_each(:ids) AS wanted CROSS JOIN {table}", f"{table}.{key} = wanted.value"
        else:
            selected, source, condition = columns, table, f"{key} = ANY(:ids)"
        statement = f"SELECT {selected} FROM {source} WHERE project = :project AND {condition} {more}"  # noqa: S608
        parameters = {"project": self._project, "ids": self._list(wanted), **given}
        with self._connection.execute(text(statement), parameters) as result:
            # Tuples of the driver: SQLAlchemy's rows cost more to make, and far more to take slices of.
            return result.cursor.fetchall()
