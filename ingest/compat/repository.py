"""SQL of the compatible shapes: the events that a caller's own id stands for."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

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

    def spoken(self, ranges: Iterable[tuple[str, str]]) -> list[Spoken]:
        """What was set by events whose ids lie in one of the ranges (at least one), ends included, each once."""
        columns = feedback_events.columns
        found = self._connection.execute(
            select(columns.response_id, columns.choice, columns.signal, columns.user_key)
            .where(
                columns.project == self._project,
                or_(*(columns.event_id.between(*bounds) for bounds in ranges)),
                columns.operation == "set",
            )
            .distinct()
        )
        return sorted(
            (Spoken(*row) for row in found), key=lambda one: (one.response_id, one.signal, one.user_key or "")
        )
