"""SQL of the gauges of ingest: how far the store is, what waits, and what belongs to no answer known here."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from infra.db.tables import consumer_offsets, dead_letters, feedback_events, interactions, labels


class Overdue(NamedTuple):
    """Provisional labels whose window is over: how many (counted up to a limit), and when the oldest one's closed."""

    labels: int
    oldest: float | None


class TelemetryRepository:
    """One project, through one connection. Every query reads a bounded number of rows by an index."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def applied_through(self, group: str, topic: str, identity: str, partitions: int) -> float | None:
        """The instant before which everything on the topic has been applied; None while a partition was never read."""
        c = consumer_offsets.c
        row = self._connection.execute(
            select(func.count().label("known"), func.min(c.updated_at).label("oldest")).where(
                c.consumer_group == group, c.topic == topic, c.topic_identity == identity, c.partition < partitions
            )
        ).one()
        return float(row.oldest) if row.known == partitions else None

    def open_letters(self) -> dict[str, int]:
        """Reason -> open dead letters: those of the project, and those whose bytes name none."""
        c = dead_letters.c
        query = select(c.reason, func.count().label("letters"))
        query = query.where(c.project.in_((self._project, "")), c.status == "open")
        return {str(row.reason): int(row.letters) for row in self._connection.execute(query.group_by(c.reason))}

    def overdue(self, closed_before: float, limit: int) -> Overdue:
        """Provisional labels whose window closed before the instant."""
        c = labels.c
        provisional: ColumnElement[bool] = literal_column("status = 'provisional'")  # literally: see the index
        waiting = (
            select(c.window_closes_at)
            .where(c.project == self._project, provisional, c.window_closes_at <= closed_before)
            .order_by(c.window_closes_at)
            .limit(limit)
            .subquery()
        )
        row = self._connection.execute(
            select(func.count().label("waiting"), func.min(waiting.c.window_closes_at).label("oldest"))
        ).one()
        return Overdue(int(row.waiting), None if row.oldest is None else float(row.oldest))

    def newest_final(self) -> float | None:
        """When the newest final label was made."""
        c = labels.c
        query = select(func.max(c.made_at)).where(c.project == self._project, literal_column("version >= 1"))
        found = self._connection.execute(query).scalar_one_or_none()
        return None if found is None else float(found)

    def unattributed(self, first_id: str, last_id: str, limit: int) -> tuple[int, int]:
        """(events, those of an answer unknown here) among the newest `limit` events with ids in the range."""
        c = feedback_events.c
        newest = (
            select(c.response_id)
            .where(c.project == self._project, c.event_id >= first_id, c.event_id <= last_id)
            .order_by(c.event_id.desc())
            .limit(limit)
            .subquery()
        )
        known = (interactions.c.project == self._project) & (interactions.c.response_id == newest.c.response_id)
        query = select(func.count().label("events"), func.count(interactions.c.response_id).label("known"))
        row = self._connection.execute(query.select_from(newest.outerjoin(interactions, known))).one()
        return int(row.events), int(row.events) - int(row.known)
