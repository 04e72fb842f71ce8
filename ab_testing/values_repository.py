"""SQL of exposures and frozen person values of one experiment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select

from ab_testing.exposures import Due, Exposure
from ab_testing.metrics import PASSIVE_SIGNALS, Values
from infra.db import insert_ignore_many, upsert_many
from infra.db.tables import exposures, feedback_events, interactions, labels, person_values


@dataclass(frozen=True)
class AnswerLabel:
    """The label of one answer, as it stood when its person's values froze."""

    user_key: str
    values: Values


@dataclass(frozen=True)
class Facts:
    """What freezing needs to know of some people. `waiting`: people with a label that is not final yet; `responded`:
    (user_key, first received) of every answer that drew a signal of its person's own."""

    labels: tuple[AnswerLabel, ...]
    responded: tuple[tuple[str, float], ...]
    waiting: frozenset[str]


class ValuesRepository:
    """One experiment's people, through one connection."""

    def __init__(self, connection: Connection, project: str, experiment_id: str) -> None:
        self._connection = connection
        self._project = project
        self._experiment_id = experiment_id

    def seen(self, watermark: float) -> list[Exposure]:
        """Everybody with an answer in an arm before the watermark: first answer, and how many arms."""
        columns = interactions.columns
        first = func.row_number().over(
            partition_by=columns.user_key, order_by=(columns.created_at, columns.response_id)
        )
        counted = (
            select(columns.user_key, columns.arm, columns.propensity, columns.phase, columns.created_at)
            .add_columns(first.label("place"))
            .where(
                columns.project == self._project,
                columns.experiment == self._experiment_id,
                columns.user_key.is_not(None),
                columns.arm.is_not(None),
                columns.created_at <= watermark,
            )
            .subquery()
        )
        arms = (
            select(counted.c.user_key, func.count(func.distinct(counted.c.arm)).label("arms"))
            .group_by(counted.c.user_key)
            .subquery()
        )
        query = select(counted, arms.c.arms).join(arms, arms.c.user_key == counted.c.user_key)
        return [
            Exposure(row.user_key, row.arm, row.propensity, row.phase, row.arms, row.created_at)
            for row in self._connection.execute(query.where(counted.c.place == 1))
        ]

    def exposed(self) -> list[Exposure]:
        """Everybody filed as exposed, in order."""
        people = [
            Exposure(row.user_key, row.arm, row.propensity, row.phase, row.arms_seen, row.first_at)
            for row in self._connection.execute(select(exposures).where(*self._here(exposures)))
        ]
        # Sorted here: stores differ in how they order text.
        return sorted(people, key=lambda person: (person.first_at, person.user_key))

    def write_exposures(self, people: Sequence[Exposure]) -> None:
        """Insert or correct exposures."""
        names = ("project", "experiment_id", "user_key", "arm", "propensity", "phase", "arms_seen", "first_at")
        rows = [
            (self._project, self._experiment_id, p.user_key, p.arm, p.propensity, p.phase, p.arms_seen, p.first_at)
            for p in people
        ]
        upsert_many(self._connection, exposures, names, rows)

    def frozen_people(self) -> frozenset[str]:
        """Everybody whose values are frozen."""
        query = select(person_values.columns.user_key).where(*self._here(person_values)).distinct()
        return frozenset(self._connection.execute(query).scalars())

    def frontier(self) -> tuple[float, str]:
        """The greatest (frozen_at, user_key) already frozen."""
        columns = person_values.columns
        newest = select(func.max(columns.frozen_at)).where(*self._here(person_values)).scalar_subquery()
        rows = self._connection.execute(
            select(columns.frozen_at, columns.user_key).where(*self._here(person_values), columns.frozen_at == newest)
        )
        return max(((row.frozen_at, row.user_key) for row in rows), default=(float("-inf"), ""))

    def facts(self, people: Mapping[str, Due], metric_window: float) -> Facts:
        """What is known about the answers `people` were given in the window that began with their first one, each as
        it stood at that person's own freezing instant."""
        users = list(people)
        closes = {user: due.exposure.first_at + metric_window for user, due in people.items()}
        versions: dict[tuple[str, int], list[tuple[int, float, str, Values]]] = defaultdict(list)
        for row in self._connection.execute(self._labels_of(users)):
            if row.created_at <= closes[row.user_key]:
                key = row.response_id, row.choice
                versions[key].append((row.version, row.made_at, row.user_key, row.objective_values))
        found, waiting = [], set()
        for rows in versions.values():
            final = sorted((row for row in rows if row[0] > 0), key=lambda row: row[0])
            if not final:
                waiting.add(rows[0][2])
                continue
            in_time = [row for row in final if row[1] <= people[row[2]].frozen_at]
            _version, _made_at, user_key, values = (in_time or final[:1])[-1]
            found.append(AnswerLabel(user_key, values))
        responded = tuple(
            (row.user_key, row.first)
            for row in self._connection.execute(self._responses_of(users))
            if row.created_at <= closes[row.user_key]
        )
        return Facts(tuple(found), responded, frozenset(waiting))

    def write_values(self, rows: Sequence[tuple[Due, str, float | None]]) -> None:
        """Freeze values (person, metric, value); what is frozen already stands."""
        names = (
            "project", "experiment_id", "user_key", "metric", "value", "arm", "propensity", "phase", "frozen_at",
        )  # fmt: skip
        parameters = [
            (
                self._project, self._experiment_id, due.exposure.user_key, metric, value,
                due.exposure.arm, due.exposure.propensity, due.exposure.phase, due.frozen_at,
            )
            for due, metric, value in rows
        ]  # fmt: skip
        insert_ignore_many(self._connection, person_values, names, parameters)

    def values(self) -> dict[str, list[tuple[str, float | None, int, float]]]:
        """Metric -> (arm, value, phase, frozen_at) of every person, in the order in which they count."""
        columns = person_values.columns
        query = select(
            columns.frozen_at, columns.user_key, columns.metric, columns.arm, columns.value, columns.phase
        ).where(*self._here(person_values))
        rows = sorted(self._connection.execute(query), key=lambda row: tuple(row[:3]))
        found: dict[str, list[tuple[str, float | None, int, float]]] = defaultdict(list)
        for frozen_at, _user_key, metric, arm, value, phase in rows:
            found[metric].append((arm, value, phase, frozen_at))
        return found

    def _here(self, table: Table) -> tuple[ColumnElement[bool], ...]:
        columns = table.columns
        return columns.project == self._project, columns.experiment_id == self._experiment_id

    def _labels_of(self, users: Sequence[str]) -> Select[Any]:
        """Every label version of every answer these people got in the experiment."""
        return (
            select(
                interactions.c.user_key,
                interactions.c.created_at,
                labels.c.response_id,
                labels.c.choice,
                labels.c.version,
                labels.c.made_at,
                labels.c.objective_values,
            )
            .join(
                labels,
                (labels.c.project == interactions.c.project) & (labels.c.response_id == interactions.c.response_id),
            )
            .where(*self._answers_of(users))
        )

    def _responses_of(self, users: Sequence[str]) -> Select[Any]:
        """When each of these people's answers first drew a signal of their own."""
        events = feedback_events.columns
        own = or_(events.user_key.is_(None), events.user_key == interactions.c.user_key)
        return (
            select(interactions.c.user_key, interactions.c.created_at, func.min(events.received_at).label("first"))
            .join(
                feedback_events,
                (events.project == interactions.c.project) & (events.response_id == interactions.c.response_id),
            )
            .where(*self._answers_of(users), own, events.operation == "set", events.signal.not_in(PASSIVE_SIGNALS))
            .group_by(interactions.c.response_id, interactions.c.user_key, interactions.c.created_at)
        )

    def _answers_of(self, users: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
        columns = interactions.columns
        return (
            columns.project == self._project,
            columns.experiment == self._experiment_id,
            columns.user_key.in_(users),
        )
