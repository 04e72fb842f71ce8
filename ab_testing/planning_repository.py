"""SQL of the traffic that a plan begins with: how many people come, and what the champion's people are worth."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from ab_testing.metrics import PASSIVE_SIGNALS, Values, person_value
from infra.db import rows_by_keys
from infra.db.tables import feedback_events, interactions, labels
from infra.settings.ab_testing import MetricSettings

CHUNK = 500
"""Answers asked about in one query."""


@dataclass(frozen=True)
class Window:
    """What of a person counts for a metric, as in an experiment that began with the first answer of the time looked
    at: answers within `seconds` of it, and days up to `return_days` of `day_seconds` after it. A person of whom less
    than `settled` seconds are known by the end of that time has no value yet."""

    seconds: float
    settled: float
    day_seconds: float = 86_400.0
    return_days: int = 7


@dataclass
class _Person:
    """Answers in order of time, with the labels and whether the person reacted of their own; instants of all."""

    shown: list[tuple[float, str]] = field(default_factory=list)
    labels: dict[str, list[Values]] = field(default_factory=lambda: defaultdict(list))
    reacted: set[str] = field(default_factory=set)

    def value(self, metric: MetricSettings, window: Window) -> float | None:
        first = min(at for at, _response in self.shown)
        inside = [response for at, response in sorted(self.shown) if at <= first + window.seconds]
        labels = [values for response in inside for values in self.labels[response]]
        days = {int(at // window.day_seconds) - int(first // window.day_seconds) for at, _response in self.shown}
        returned = any(0 < day <= window.return_days for day in days)
        return person_value(metric, labels, any(response in self.reacted for response in inside), returned)


class TrafficRepository:
    """One project's people between two instants (Unix seconds), through one connection."""

    def __init__(self, connection: Connection, project: str, since: float, until: float) -> None:
        self._connection = connection
        self._project = project
        self._since, self._until = since, until

    def people(self) -> tuple[int, float]:
        """Different people with an answer, and the instant of the first one (the end of the time without any)."""
        columns = interactions.columns
        query = select(func.count(func.distinct(columns.user_key)), func.min(columns.created_at)).where(*self._here())
        people, first = self._connection.execute(query).one()
        return int(people), self._until if first is None else float(first)

    def values(
        self, metrics: Sequence[MetricSettings], most: int, windows: Mapping[str, Window]
    ) -> dict[str, list[float | None]]:
        """Metric -> value of each of at most `most` people who did not have a challenger, as labels stand now; only of
        those known for long enough. Keys of people are hashes, so the first ones are a sample at random."""
        columns = interactions.columns
        champion = or_(columns.arm.is_(None), columns.arm == "control")
        query = select(columns.user_key).distinct().where(*self._here(), champion).order_by(columns.user_key)
        people = self._people(list(self._connection.execute(query.limit(most)).scalars()))
        found: dict[str, list[float | None]] = {metric.name: [] for metric in metrics}
        for person in people.values():
            known = self._until - min(at for at, _response in person.shown)
            for metric in metrics:
                window = windows[metric.name]
                if known >= window.settled:
                    found[metric.name].append(person.value(metric, window))
        return found

    def _people(self, users: Sequence[str]) -> dict[str, _Person]:
        """Everybody's answers with the newest final label of each choice, and reactions of their own. One pass over the
        time; then by answers."""
        columns, wanted = interactions.columns, frozenset(users)
        columns_read = (columns.response_id, columns.user_key, columns.created_at)
        found: dict[str, _Person] = {user: _Person() for user in users}
        user_of: dict[str, str] = {}
        for response_id, user, created_at in self._connection.execute(select(*columns_read).where(*self._here())):
            if user in wanted:
                user_of[response_id] = user
                found[user].shown.append((created_at, response_id))
        responses = list(user_of)
        for at in range(0, len(responses), CHUNK):
            some = responses[at : at + CHUNK]
            for response_id, values in self._labels(some):
                found[user_of[response_id]].labels[response_id].append(values)
            for row in self._signals(some):
                if _own(row, user_of):
                    found[user_of[row.response_id]].reacted.add(row.response_id)
        return found

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
