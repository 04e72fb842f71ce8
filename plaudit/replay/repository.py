"""What a replay asks the store."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from infra.db.tables import feedback_events

_PER_QUERY = 500


def events_present(connection: Connection, project: str, event_ids: Sequence[str]) -> int:
    """How many of these events stand in the ledger."""
    c = feedback_events.c
    total = 0
    for start in range(0, len(event_ids), _PER_QUERY):
        some = event_ids[start : start + _PER_QUERY]
        query = select(func.count()).where(c.project == project, c.event_id.in_(some))
        total += int(connection.execute(query).scalar_one())
    return total
