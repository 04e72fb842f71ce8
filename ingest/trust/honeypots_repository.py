"""SQL of honeypots."""

from typing import Any

from sqlalchemy import Connection, insert, select, update

from infra.db.tables.feedback import interactions
from infra.db.tables.trust import honeypots
from ingest.trust.gathering import Answer
from ingest.trust.records import Honeypot


class HoneypotRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def add(self, honeypot: Honeypot) -> None:
        """Add a honeypot under a new id."""
        self._connection.execute(
            insert(honeypots).values(
                project=self._project,
                honeypot_id=honeypot.honeypot_id,
                preferred_response_id=honeypot.better[0],
                preferred_choice=honeypot.better[1],
                other_response_id=honeypot.worse[0],
                other_choice=honeypot.worse[1],
                reason=honeypot.reason,
                added_at=honeypot.added_at,
                retired_at=honeypot.retired_at,
            )
        )

    def retire(self, honeypot_id: str, now: float) -> bool:
        """It is served no more, and the duels it had still count; False if there is none of that id in use."""
        columns = honeypots.columns
        done = self._connection.execute(
            update(honeypots)
            .where(columns.project == self._project, columns.honeypot_id == honeypot_id, columns.retired_at.is_(None))
            .values(retired_at=now)
        )
        return done.rowcount == 1

    def all(self, *, in_use: bool = False) -> list[Honeypot]:
        """Every honeypot, oldest first; or those in use."""
        columns = honeypots.columns
        statement = select(honeypots).where(columns.project == self._project)
        if in_use:
            statement = statement.where(columns.retired_at.is_(None))
        rows = self._connection.execute(statement.order_by(columns.added_at, columns.honeypot_id))
        return [_honeypot(row) for row in rows]

    def known(self, answer: Answer) -> bool:
        """Whether the interaction of `answer` is in the store."""
        columns = interactions.columns
        found = self._connection.execute(
            select(columns.response_id).where(columns.project == self._project, columns.response_id == answer[0])
        )
        return found.first() is not None


def _honeypot(row: Any) -> Honeypot:
    return Honeypot(
        honeypot_id=row.honeypot_id,
        better=(row.preferred_response_id, row.preferred_choice),
        worse=(row.other_response_id, row.other_choice),
        reason=row.reason,
        added_at=row.added_at,
        retired_at=row.retired_at,
    )
