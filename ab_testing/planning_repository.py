"""SQL of the traffic that a plan begins with: how many people come, and what the champion's people are worth."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from ab_testing.metrics import PASSIVE_SIGNALS, Values, person_value
from infra.db import rows_by_keys
from infra.db.tables import feedback_events, interactions, labels
from infra.settings.ab_testing import MetricSettings

CHUNK = 500
"""Answers asked about in one query."""


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
        answers, responded = self._answers(users)
        found: dict[str, list[float | None]] = {metric.name: [] for metric in metrics}
        for user in users:
            for metric in metrics:
                found[metric.name].append(person_value(metric, answers[user], user in responded))
        return found

    def _answers(self, users: Sequence[str]) -> tuple[dict[str, list[Values]], set[str]]:
        """The newest final label of every answer of each person, and who gave a signal of their own to one of them.
        One pass over the time; then by answers."""
        columns, wanted = interactions.columns, frozenset(users)
        shown = self._connection.execute(select(columns.response_id, columns.user_key).where(*self._here()))
        user_of = {response_id: user for response_id, user in shown if user in wanted}
        found: dict[str, list[Values]] = defaultdict(list)
        responded: set[str] = set()
        responses = list(user_of)
        for at in range(0, len(responses), CHUNK):
            some = responses[at : at + CHUNK]
            for response_id, values in self._labels(some):
                found[user_of[response_id]].append(values)
            responded.update(user_of[row.response_id] for row in self._signals(some) if _own(row, user_of))
        return found, responded

    def _labels(self, responses: Sequence[str]) -> list[tuple[str, Values]]:
        columns = labels.columns
        wanted = (columns.response_id, columns.choice, columns.version, columns.objective_values)
        here = {"project": self._project}
        rows = rows_by_keys(self._connection, wanted, columns.response_id, responses, here, columns.version >= 1)
        newest = {(row.response_id, row.choice): row for row in sorted(rows, key=lambda row: tuple(row[:3]))}
        return [(row.response_id, row.objective_values) for row in newest.values()]

    def _signals(self, responses: Sequence[str]) -> list[Row[Any]]:
        events = feedback_events.columns
        active = (events.operation == "set", events.signal.not_in(PASSIVE_SIGNALS))
        wanted, here = (events.response_id, events.user_key), {"project": self._project}
        return rows_by_keys(self._connection, wanted, events.response_id, responses, here, *active)

    def _here(self) -> tuple[ColumnElement[bool], ...]:
        columns = interactions.columns
        return (
            columns.project == self._project,
            columns.user_key.is_not(None),
            columns.created_at > self._since,
            columns.created_at <= self._until,
        )


def _own(signal: Row[Any], user_of: Mapping[str, str]) -> bool:
    """Whether the answer's own person gave it."""
    return signal.user_key in (None, user_of[signal.response_id])
