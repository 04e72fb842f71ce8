"""SQL of the pages on feedback and rewards: the newest events, letters and labels, never all of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, literal_column, select

from infra.db import rows_by_keys
from infra.db.tables import dead_letters, feedback_events, interactions, labels

Row = RowMapping
LETTER_STATUSES = ("open", "replayed", "dropped")


class FeedbackRepository:
    """One project's rows, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def newest_events(self, limit: int) -> Sequence[dict[str, Any]]:
        """The newest events by their ids, which begin with the time they were made at, with what their answers know:
        the adapter, and the person where the event names none."""
        c = feedback_events.c
        columns = (c.event_id, c.response_id, c.choice, c.signal, c.operation, c.value, c.user_key, c.received_at,
                   c.source, c.device, func.length(c.text).label("characters"))  # fmt: skip
        query = select(*columns).where(c.project == self._project).order_by(c.event_id.desc()).limit(limit)
        found = self._connection.execute(query).mappings().all()
        served = self._served(row["response_id"] for row in found)
        return [
            {
                **row,
                "adapter": getattr(served.get(row["response_id"]), "adapter", None),
                "user_key": row["user_key"] or getattr(served.get(row["response_id"]), "user_key", None),
            }
            for row in found
        ]

    def signals(self, most: int) -> Sequence[Row]:
        """Signal -> events among the newest `most`, and when the first of those was received."""
        c = feedback_events.c
        newest = select(c.signal, c.received_at).where(c.project == self._project).order_by(c.event_id.desc())
        some = newest.limit(most).subquery()
        query = select(some.c.signal, func.count().label("events"), func.min(some.c.received_at).label("since"))
        return self._connection.execute(query.group_by(some.c.signal).order_by(func.count().desc())).mappings().all()

    def letters(self, most: int) -> dict[str, int]:
        """Status -> dead letters, each counted up to `most`."""
        found = {}
        for status in LETTER_STATUSES:
            c = dead_letters.c
            own = select(c.letter_id).where(c.project.in_((self._project, "")), c.status == status).limit(most)
            found[status] = int(self._connection.execute(select(func.count()).select_from(own.subquery())).scalar_one())
        return found

    def newest_labels(self, limit: int) -> Sequence[dict[str, Any]]:
        """The newest final labels with the adapter, experiment and arm of their answers and the length of these."""
        c = labels.c
        query = select(c.response_id, c.choice, c.version, c.objective_values, c.made_at)
        final: ColumnElement[bool] = literal_column("version >= 1")  # literally: see the index
        query = query.where(c.project == self._project, final).order_by(c.made_at.desc()).limit(limit)
        found = self._connection.execute(query).mappings().all()
        served = self._served(row["response_id"] for row in found)
        return [
            {**row, "adapter": of.adapter, "experiment": of.experiment, "arm": of.arm}
            for row in found
            if (of := served.get(row["response_id"])) is not None
        ]

    def _served(self, responses: Iterable[str]) -> dict[str, Any]:
        """Response id -> what is known of who was served what."""
        i = interactions.c
        wanted = (i.response_id, i.adapter, i.experiment, i.arm, i.user_key)
        rows = rows_by_keys(self._connection, wanted, i.response_id, sorted(set(responses)), {"project": self._project})
        return {row.response_id: row for row in rows}
