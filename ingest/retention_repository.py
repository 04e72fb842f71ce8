"""SQL of retention: rows that are too old, a few thousand at a time, so that nobody waits long for the store."""

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, or_, select, tuple_, update

from infra.db.tables import consumer_offsets, dead_letters, feedback_events, interactions, labels, pairs

AT_ONCE = 2000


class RetentionRepository:
    """Rows of one project, on one connection. Each method removes at most `AT_ONCE` rows and says how many."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def prepare(self) -> None:
        """SQLite overwrites what is deleted from here on."""
        if self._connection.dialect.name == "sqlite":
            self._connection.exec_driver_sql("PRAGMA secure_delete = ON")

    def interactions(self, before: float) -> int:
        """Interactions created before the instant."""
        return self._delete(interactions, interactions.columns.created_at < before)

    def texts(self, before: float) -> int:
        """Texts of events received before the instant: blanked, the events stay."""
        columns = feedback_events.columns
        old = and_(columns.project == self._project, columns.text.is_not(None), columns.received_at < before)
        ids = list(self._connection.execute(select(columns.event_id).where(old).limit(AT_ONCE)).scalars())
        if ids:
            self._connection.execute(
                update(feedback_events)
                .where(columns.project == self._project, columns.event_id.in_(ids))
                .values(text=None)
            )
        return len(ids)

    def labels(self, before: float) -> int:
        """Labels made before the instant; provisional ones only when their window closed before it as well."""
        columns = labels.columns
        done = or_(columns.version > 0, columns.window_closes_at < before)
        return self._delete(labels, and_(columns.made_at < before, done))

    def pairs(self, before: float) -> int:
        """Pairs made before the instant."""
        return self._delete(pairs, pairs.columns.made_at < before)

    def dead_letters(self, before: float) -> int:
        """Dead letters received before the instant, whatever their status."""
        return self._delete(dead_letters, dead_letters.columns.received_at < before)

    def offsets(self, topic: str, identity: str) -> dict[str, dict[int, int]]:
        """Next offset by group and partition, of every group that has read this topic."""
        columns = consumer_offsets.columns
        rows = self._connection.execute(
            select(columns.consumer_group, columns.partition, columns.next_offset).where(
                columns.topic == topic, columns.topic_identity == identity
            )
        )
        found: dict[str, dict[int, int]] = {}
        for group, partition, offset in rows:
            found.setdefault(group, {})[partition] = offset
        return found

    def _delete(self, table: Table, old: ColumnElement[bool]) -> int:
        keys: list[Column[object]] = list(table.primary_key)
        rows = self._connection.execute(
            select(*keys).where(table.columns.project == self._project, old).limit(AT_ONCE)
        ).all()
        if rows:
            self._connection.execute(delete(table).where(tuple_(*keys).in_([tuple(row) for row in rows])))
        return len(rows)
