"""SQL of the compatible shapes: the events that a caller's own id stands for."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from infra.contracts import Signal
from infra.db.tables.feedback import feedback_events


class Spoken(NamedTuple):
    """What was said, and by whom."""

    response_id: str
    choice: int
    signal: Signal
    user_key: str | None


class CompatRepository:
    """The ledger of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def spoken(self, first_id: str, last_id: str) -> list[Spoken]:
        """What was set by events whose ids lie in a range, each once."""
        columns = feedback_events.columns
        found = self._connection.execute(
            select(columns.response_id, columns.choice, columns.signal, columns.user_key)
            .where(
                columns.project == self._project,
                columns.event_id.between(first_id, last_id),
                columns.operation == "set",
            )
            .distinct()
        )
        return sorted(
            (Spoken(*row) for row in found), key=lambda one: (one.response_id, one.signal, one.user_key or "")
        )
