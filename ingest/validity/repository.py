"""SQL of signal validity: who was active when, and what was found."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, func, select

from infra.db import insert_ignore_many
from infra.db.tables import interactions, signal_validity
from ingest.validity.verdicts import SignalValidity

_COLUMNS = tuple(column.name for column in signal_validity.columns)


class ValidityRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def activity(self, since: float) -> Iterator[tuple[str, str, float]]:
        """(response_id, user_key, created_at) of every request of a known person since `since`, by time."""
        c = interactions.c
        rows = self._connection.execute(
            select(c.response_id, c.user_key, c.created_at)
            .where(c.project == self._project, c.created_at >= since, c.user_key.is_not(None))
            .order_by(c.created_at)
        )
        for row in rows:
            yield row.response_id, row.user_key, row.created_at

    def put(self, rows: Iterable[SignalValidity]) -> None:
        """Keep what one run found."""
        values = [
            (
                self._project,
                one.made_at,
                one.objective,
                one.verdict,
                one.effect,
                one.low,
                one.high,
                one.people,
                one.detail,
            )
            for one in rows
        ]
        insert_ignore_many(self._connection, signal_validity, _COLUMNS, values)

    def newest(self) -> dict[str, SignalValidity]:
        """What the newest run found, by objective; empty before the first."""
        made_at = self.made_at()
        c = signal_validity.c
        rows = self._connection.execute(
            select(signal_validity).where(c.project == self._project, c.made_at == made_at).order_by(c.objective)
        )
        return {
            row.objective: SignalValidity(
                row.objective, row.verdict, row.effect, row.low, row.high, row.people, row.detail, row.made_at
            )
            for row in rows
        }

    def made_at(self) -> float:
        """When the newest run was made; 0 before the first."""
        c = signal_validity.c
        found = self._connection.execute(select(func.max(c.made_at)).where(c.project == self._project)).scalar()
        return float(found or 0.0)
