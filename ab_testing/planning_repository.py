"""SQL of the traffic that a plan begins with: how many people come, and what the champion's people are worth."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, or_, select

from ab_testing.metrics import PASSIVE_SIGNALS, Values, person_value
from infra.db.tables import feedback_events, interactions, labels
from infra.settings.ab_testing import MetricSettings

CHUNK = 500


class TrafficRepository:
    """One project's people between two instants (Unix seconds), through one connection."""

    def __init__(self, connection: Connection, project: str, since: float, until: float) -> None:
        self._connection = connection
        self._project = project
        self._since, self._until = since, until

    def people(self) -> int:
        """Different people with an answer."""
        query = select(func.count(func.distinct(interactions.columns.user_key))).where(*self._here())
        return int(self._connection.execute(query).scalar_one())

    def values(self, metrics: Sequence[MetricSettings], most: int) -> dict[str, list[float | None]]:
        """Metric -> value of each of at most `most` people who did not have a challenger, as labels stand now. Keys of
        people are hashes, so the first ones are a sample at random."""
        columns = interactions.columns
        champion = or_(columns.arm.is_(None), columns.arm == "control")
        query = select(columns.user_key).distinct().where(*self._here(), champion).order_by(columns.user_key)
        users = list(self._connection.execute(query.limit(most)).scalars())
        found: dict[str, list[float | None]] = {metric.name: [] for metric in metrics}
        for at in range(0, len(users), CHUNK):
            part = users[at : at + CHUNK]
            answers, responded = self._labels(part), self._responded(part)
            for user in part:
                for metric in metrics:
                    found[metric.name].append(person_value(metric, answers[user], user in responded))
        return found

    def _labels(self, users: Sequence[str]) -> dict[str, list[Values]]:
        """Newest final label of every answer of each person."""
        columns = labels.columns
        query = (
            select(interactions.c.user_key, columns.response_id, columns.choice, columns.objective_values)
            .join(
                labels,
                (columns.project == interactions.c.project) & (columns.response_id == interactions.c.response_id),
            )
            .where(*self._here(), interactions.c.user_key.in_(users), columns.version >= 1)
            .order_by(columns.response_id, columns.choice, columns.version)
        )
        newest = {
            (row.user_key, row.response_id, row.choice): row.objective_values for row in self._connection.execute(query)
        }
        found: dict[str, list[Values]] = defaultdict(list)
        for (user, _response, _choice), values in newest.items():
            found[user].append(values)
        return found

    def _responded(self, users: Sequence[str]) -> frozenset[str]:
        """Who gave a signal of their own to one of their answers."""
        events = feedback_events.columns
        own = or_(events.user_key.is_(None), events.user_key == interactions.c.user_key)
        query = (
            select(interactions.c.user_key)
            .distinct()
            .join(
                feedback_events,
                (events.project == interactions.c.project) & (events.response_id == interactions.c.response_id),
            )
            .where(*self._here(), interactions.c.user_key.in_(users), own)
            .where(events.operation == "set", events.signal.not_in(PASSIVE_SIGNALS))
        )
        return frozenset(self._connection.execute(query).scalars())

    def _here(self) -> tuple[ColumnElement[bool], ...]:
        columns = interactions.columns
        return (
            columns.project == self._project,
            columns.user_key.is_not(None),
            columns.created_at > self._since,
            columns.created_at <= self._until,
        )
