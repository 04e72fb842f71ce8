"""SQL of `person_trust`: append-only versions of how far each person is trusted."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from infra.db import insert_ignore_many
from infra.db.tables.trust import person_trust
from ingest.trust.records import PersonTrust

_COLUMNS = tuple(column.name for column in person_trust.columns)
_FIELDS = ", ".join(f"t.{name}" for name in PersonTrust.__struct_fields__)
_NEWEST = (
    "JOIN (SELECT user_key, MAX(estimated_at) AS newest FROM person_trust"
    " WHERE project = :project AND estimated_at <= :as_of {some} GROUP BY user_key) AS n"
    " ON n.user_key = t.user_key AND n.newest = t.estimated_at WHERE t.project = :project"
)
FOR_EVER = 1e18
"""An instant after every other."""


class TrustRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._sqlite = connection.dialect.name == "sqlite"

    def append(self, versions: Iterable[PersonTrust]) -> int:
        """Add versions; one that is there already stays as it is. Returns how many were new."""
        rows = [(self._project, *_values(version)) for version in versions]
        return insert_ignore_many(self._connection, person_trust, _COLUMNS, rows)

    def weights(self, user_keys: Collection[str], as_of: float | None = None) -> dict[str, float]:
        """Weight by person in the newest version at or before `as_of`; people without one are left out."""
        if not user_keys:
            return {}
        chosen = sorted(set(user_keys))
        some = "AND user_key IN (SELECT value FROM json_each(:keys))" if self._sqlite else "AND user_key = ANY(:keys)"
        statement = f"SELECT t.user_key, t.weight FROM person_trust AS t {_NEWEST.format(some=some)}"  # noqa: S608
        rows = self._connection.execute(
            text(statement),
            {
                "project": self._project,
                "as_of": FOR_EVER if as_of is None else as_of,
                "keys": json.dumps(chosen) if self._sqlite else chosen,
            },
        )
        return {row[0]: row[1] for row in rows}

    def newest(self, as_of: float | None = None) -> dict[str, PersonTrust]:
        """The newest version of every person at or before `as_of`, by user key."""
        statement = f"SELECT {_FIELDS} FROM person_trust AS t {_NEWEST.format(some='')}"  # noqa: S608
        parameters = {"project": self._project, "as_of": FOR_EVER if as_of is None else as_of}
        return {row[0]: _version(row) for row in self._connection.execute(text(statement), parameters)}

    def masses(self) -> tuple[list[float], int]:
        """(what everybody's votes weigh together by their newest estimate, how many are in quarantine)."""
        statement = f"SELECT t.weight * t.votes, t.status FROM person_trust AS t {_NEWEST.format(some='')}"  # noqa: S608
        rows = self._connection.execute(text(statement), {"project": self._project, "as_of": FOR_EVER}).all()
        return [row[0] for row in rows], sum(row[1] == "quarantined" for row in rows)


def _values(version: PersonTrust) -> tuple[Any, ...]:
    given = {name: getattr(version, name) for name in PersonTrust.__struct_fields__}
    given["reasons"] = list(version.reasons)
    return tuple(given[name] for name in _COLUMNS[1:])


def _version(row: Sequence[Any]) -> PersonTrust:
    fields = dict(zip(PersonTrust.__struct_fields__, row, strict=True))
    reasons = fields["reasons"]
    fields["reasons"] = tuple(json.loads(reasons) if isinstance(reasons, str) else reasons)
    return PersonTrust(**fields)
