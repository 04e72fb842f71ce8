"""SQL of tombstones and erased people: what must never come back."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, text, update

from infra.db import insert_ignore_many
from infra.db.tables.access import erased_people, erasures, tombstones

_TOMBSTONE_COLUMNS = tuple(column.name for column in tombstones.columns)
_PEOPLE_COLUMNS = ("project", "digest", "erasure_id", "erased_before")

_BOUNDS = text(
    """SELECT
    (SELECT min(item_id) FROM tombstones WHERE project = :project AND kind = 'event') AS first_event,
    (SELECT max(item_id) FROM tombstones WHERE project = :project AND kind = 'event') AS last_event,
    (SELECT min(item_id) FROM tombstones WHERE project = :project AND kind = 'response') AS first_response,
    (SELECT max(item_id) FROM tombstones WHERE project = :project AND kind = 'response') AS last_response,
    (SELECT max(erased_before) FROM erased_people WHERE project = :project) AS people_before"""
)


class Bounds(NamedTuple):
    """The smallest and greatest tombstoned ids of a project and its latest erasure; None where there is none.

    Ids are UUIDv7 as a rule and sort by the time they were made: fresh ones lie beyond every bound, and need no
    look-up.
    """

    first_event: str | None
    last_event: str | None
    first_response: str | None
    last_response: str | None
    people_before: float | None


class TombstoneRepository:
    """Tombstones of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._sqlite = connection.dialect.name == "sqlite"

    def bounds(self) -> Bounds:
        """Five index seeks: what makes the usual case, nothing erased, cost next to nothing."""
        return Bounds._make(self._connection.execute(_BOUNDS, {"project": self._project}).one())

    def known(self, kind: str, ids: Collection[str]) -> set[str]:
        """Those of `ids` with a tombstone of that kind ("event" or "response")."""
        if not ids:
            return set()
        wanted = sorted(set(ids))
        among = "IN (SELECT value FROM json_each(:ids))" if self._sqlite else "= ANY(:ids)"
        statement = text(
            f"SELECT item_id FROM tombstones WHERE project = :project AND kind = :kind AND item_id {among}"  # noqa: S608
        )
        parameters = {
            "project": self._project,
            "kind": kind,
            "ids": json.dumps(wanted) if self._sqlite else wanted,
        }
        return set(self._connection.execute(statement, parameters).scalars())

    def people(self, since: float) -> dict[str, tuple[float, str]]:
        """digest -> (erased before, erasure id) of everyone erased at `since` or later; the latest erasure counts."""
        columns = erased_people.columns
        rows = self._connection.execute(
            select(columns.digest, columns.erased_before, columns.erasure_id)
            .where(columns.project == self._project, columns.erased_before >= since)
            .order_by(columns.erased_before)
        )
        return {row.digest: (row.erased_before, row.erasure_id) for row in rows}

    def add(self, kind: str, ids: Iterable[str], erasure_id: str, erased_at: float) -> int:
        """Set tombstones; those that stand stay as they are. Returns how many are new."""
        rows = [(self._project, kind, item_id, erasure_id, erased_at) for item_id in sorted(set(ids))]
        return insert_ignore_many(self._connection, tombstones, _TOMBSTONE_COLUMNS, rows)

    def add_people(self, digests: Iterable[str], erasure_id: str, erased_before: float) -> int:
        """Remember people by the digests of their keys. Returns how many rows are new."""
        rows = [(self._project, digest, erasure_id, erased_before) for digest in sorted(set(digests))]
        return insert_ignore_many(self._connection, erased_people, _PEOPLE_COLUMNS, rows)

    def reopen(self) -> None:
        """Something erased came again over the log: the newest erasure is open until its files were cleaned anew."""
        columns = erasures.columns
        newest = select(func.max(columns.erased_at)).where(columns.project == self._project).scalar_subquery()
        self._connection.execute(
            update(erasures)
            .where(columns.project == self._project, columns.erased_at == newest)
            .values(scrubbed_at=None)
        )

    def ids_of(self, kind: str, erasure_id: str) -> list[str]:
        """Ids one erasure tombstoned, in order."""
        columns = tombstones.columns
        return list(
            self._connection.execute(
                select(columns.item_id)
                .where(columns.project == self._project, columns.erasure_id == erasure_id, columns.kind == kind)
                .order_by(columns.item_id)
            ).scalars()
        )

    def digests_of(self, erasure_id: str) -> list[str]:
        """Digests of the people one erasure was about, in order."""
        columns = erased_people.columns
        return list(
            self._connection.execute(
                select(columns.digest)
                .where(columns.project == self._project, columns.erasure_id == erasure_id)
                .order_by(columns.digest)
            ).scalars()
        )

    def count_of(self, erasure_id: str) -> int:
        """How many tombstones one erasure has set."""
        columns = tombstones.columns
        counted = select(func.count()).where(columns.project == self._project, columns.erasure_id == erasure_id)
        return int(self._connection.execute(counted).scalar_one())


def projects_with_erasures(connection: Connection) -> list[str]:
    """Projects in which somebody was erased, in order."""
    columns = erased_people.columns
    return list(connection.execute(select(columns.project).distinct().order_by(columns.project)).scalars())


class ErasureRepository:
    """The erasures of one project and their receipts, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def add(self, erasure_id: str, erased_at: float, origin: str, receipt: Mapping[str, Any]) -> None:
        """Write an erasure down; `origin` is command or log."""
        self._connection.execute(
            insert(erasures).values(
                project=self._project,
                erasure_id=erasure_id,
                erased_at=erased_at,
                origin=origin,
                receipt=dict(receipt),
                scrubbed_at=None,
            )
        )

    def known(self, erasure_id: str) -> bool:
        """Whether this store has the erasure."""
        columns = erasures.columns
        found = select(columns.erasure_id).where(columns.project == self._project, columns.erasure_id == erasure_id)
        return self._connection.execute(found).one_or_none() is not None

    def made(self) -> list[tuple[str, float]]:
        """(id, instant) of every erasure, oldest first."""
        columns = erasures.columns
        rows = self._connection.execute(
            select(columns.erasure_id, columns.erased_at)
            .where(columns.project == self._project)
            .order_by(columns.erased_at, columns.erasure_id)
        )
        return [(row.erasure_id, row.erased_at) for row in rows]

    def set_receipt(self, erasure_id: str, receipt: Mapping[str, Any], scrubbed_at: float | None) -> None:
        """Keep the receipt, and when the files were seen to be clean (None: not yet)."""
        self._update(erasure_id, {"receipt": dict(receipt), "scrubbed_at": scrubbed_at})

    def scrubbed(self, erasure_id: str, at: float) -> None:
        """The files are clean."""
        self._update(erasure_id, {"scrubbed_at": at})

    def unscrubbed(self) -> list[str]:
        """Ids of the erasures whose files are not known to be clean, oldest first."""
        columns = erasures.columns
        return list(
            self._connection.execute(
                select(columns.erasure_id)
                .where(columns.project == self._project, columns.scrubbed_at.is_(None))
                .order_by(columns.erased_at, columns.erasure_id)
            ).scalars()
        )

    def receipts(self) -> list[dict[str, Any]]:
        """Every receipt, oldest first."""
        columns = erasures.columns
        return list(
            self._connection.execute(
                select(columns.receipt).where(columns.project == self._project).order_by(columns.erased_at)
            ).scalars()
        )

    def _update(self, erasure_id: str, values: Mapping[str, Any]) -> None:
        columns = erasures.columns
        self._connection.execute(
            update(erasures).where(columns.project == self._project, columns.erasure_id == erasure_id).values(**values)
        )
