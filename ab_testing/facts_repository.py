"""SQL of what is known about the answers that people of an experiment got: labels, signals, days, and times before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, func, or_, select, union_all

from ab_testing.exposures import Due, Exposure
from ab_testing.metrics import PASSIVE_SIGNALS, Values
from infra.contracts import Experiment, Interaction
from infra.db.tables import experiments, feedback_events, interactions, labels


@dataclass(frozen=True)
class AnswerLabel:
    """The label of one answer, as it stood when its person's values froze."""

    user_key: str
    created_at: float
    values: Values


@dataclass(frozen=True)
class Response:
    """An answer that drew signals of its person's own: the first was received `first`, `signals` of them in time."""

    user_key: str
    created_at: float
    first: float
    signals: int


@dataclass(frozen=True)
class Facts:
    """What freezing needs to know of some people. `waiting`: people with a label that is not final yet."""

    labels: tuple[AnswerLabel, ...]
    responses: tuple[Response, ...]
    waiting: frozenset[str]


@dataclass(frozen=True)
class History:
    """Of one person before the first exposure: labels of earlier answers as they stood then, how many of those answers
    had drawn a signal by then, and the days on which there was one."""

    labels: list[Values] = field(default_factory=list)
    responded: set[str] = field(default_factory=set)
    days: set[int] = field(default_factory=set)


class FactsRepository:
    """What one experiment's people were answered and did, through one connection."""

    def __init__(self, connection: Connection, experiment: Experiment) -> None:
        self._connection = connection
        self._experiment = experiment
        self._project = experiment.project

    def facts(self, people: Mapping[str, Due], window: float) -> Facts:
        """What is known about the answers `people` were given in the window that began with their first one, each as
        it stood at that person's own freezing instant."""
        closes = {user: due.exposure.first_at + window for user, due in people.items()}
        versions: dict[tuple[str, int], list[Row[Any]]] = defaultdict(list)
        for row in self._connection.execute(self._labels_of(people, window)):
            if row.created_at <= closes[row.user_key]:
                versions[row.response_id, row.choice].append(row)
        found, waiting = [], set()
        for rows in versions.values():
            label = _newest(rows, people[rows[0].user_key].frozen_at)
            if label is None:
                waiting.add(rows[0].user_key)
            else:
                found.append(AnswerLabel(label.user_key, label.created_at, label.objective_values))
        responses = tuple(
            response for response in self._responses(people, window) if response.created_at <= closes[response.user_key]
        )
        return Facts(tuple(found), responses, frozenset(waiting))

    def histories(self, people: Mapping[str, Due], seconds: float, day_seconds: float) -> dict[str, History]:
        """What was known of each person before the first exposure, about the `seconds` before it."""
        first = {user: due.exposure.first_at for user, due in people.items()}
        earlier = self._around(list(people), min(first.values()) - seconds, max(first.values()))
        found: dict[str, History] = defaultdict(History)
        versions: dict[tuple[str, int], list[Row[Any]]] = defaultdict(list)
        for row in self._connection.execute(_labelled(earlier, self._project)):
            before = first[row.user_key]
            if before - seconds <= row.created_at < before:
                found[row.user_key].days.add(int(row.created_at // day_seconds))
                if row.version is not None and row.version > 0 and row.made_at <= before:
                    versions[row.response_id, row.choice].append(row)
        for rows in versions.values():
            label = max(rows, key=lambda row: row.version)
            found[label.user_key].labels.append(label.objective_values)
        for row in self._connection.execute(_reacted(earlier, self._project)):
            before = first[row.user_key]
            if before - seconds <= row.created_at < before and row.first < before:
                found[row.user_key].responded.add(row.response_id)
        return found

    def active_days(self, people: Mapping[str, Due], seconds: float, day_seconds: float) -> dict[str, set[int]]:
        """The days (from 1970) on which each person got an answer, in or out of the experiment, from the first exposure
        on and for `seconds`."""
        first = [due.exposure.first_at for due in people.values()]
        found: dict[str, set[int]] = defaultdict(set)
        around = self._around(list(people), min(first), max(first) + seconds)
        for row in self._connection.execute(select(around.c.user_key, around.c.created_at)):
            found[row.user_key].add(int(row.created_at // day_seconds))
        return found

    def devices(self, people: Sequence[Exposure], seconds: float) -> dict[str, str]:
        """The device of each person's newest reaction before the first exposure; people without one are left out."""
        first = {person.user_key: person.first_at for person in people}
        earlier = self._around(list(first), min(first.values()) - seconds, max(first.values()))
        events = feedback_events.columns
        query = (
            select(earlier.c.user_key, events.received_at, events.event_id, events.device)
            .join(feedback_events, events.response_id == earlier.c.response_id)
            .where(events.project == self._project, events.device.is_not(None))
        )
        rows = [row for row in self._connection.execute(query) if row.received_at < first[row.user_key]]
        return {row.user_key: row.device for row in sorted(rows, key=lambda row: (row.received_at, row.event_id))}

    def turns(self, people: Sequence[Exposure]) -> dict[str, int]:
        """How many messages of people the first answer in the experiment had before it."""
        first = {person.user_key: person.first_at for person in people}
        columns = interactions.columns
        query = select(columns.user_key, columns.created_at, columns.payload).where(*self._answers_of(list(first)))
        found = {}
        for row in self._connection.execute(query):
            if row.created_at == first[row.user_key]:
                made = msgspec.msgpack.decode(row.payload, type=Interaction)
                found[row.user_key] = sum(message.role == "user" for message in made.messages)
        return found

    def _labels_of(self, people: Mapping[str, Due], window: float) -> Select[Any]:
        """Every label version of every answer these people got in the experiment."""
        return (
            select(
                interactions.c.user_key, interactions.c.created_at, labels.c.response_id, labels.c.choice,
                labels.c.version, labels.c.made_at, labels.c.objective_values,
            )
            .join(
                labels,
                (labels.c.project == interactions.c.project) & (labels.c.response_id == interactions.c.response_id),
            )
            .where(*self._answers_of(list(people)), *self._between(people, window))
        )  # fmt: skip

    def _responses(self, people: Mapping[str, Due], window: float) -> list[Response]:
        """When each of these people's answers first drew a signal of their own, and how many it drew in time. Grouped
        here: a store may walk all answers to have them in groups."""
        events, answers = feedback_events.columns, interactions.columns
        label_seconds = float(str(self._experiment.config.get("label_seconds", "inf")))
        query = (
            select(answers.response_id, answers.user_key, answers.created_at, events.received_at)
            .join(feedback_events, (events.project == answers.project) & (events.response_id == answers.response_id))
            .where(*self._answers_of(list(people)), *self._between(people, window), *_own(answers.user_key))
        )
        found: dict[str, Response] = {}
        for row in self._connection.execute(query):
            known = found.get(row.response_id, Response(row.user_key, row.created_at, row.received_at, 0))
            in_time = row.received_at <= row.created_at + label_seconds
            first = min(known.first, row.received_at)
            found[row.response_id] = replace(known, first=first, signals=known.signals + in_time)
        return list(found.values())

    def _answers_of(self, users: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
        columns = interactions.columns
        return (
            columns.project == self._project,
            columns.experiment == self._experiment.experiment_id,
            columns.user_key.in_(users),
        )

    def _between(self, people: Mapping[str, Due], window: float) -> tuple[ColumnElement[bool], ...]:
        first = [due.exposure.first_at for due in people.values()]
        created_at = interactions.columns.created_at
        return created_at >= min(first), created_at <= max(first) + window

    def _around(self, users: Sequence[str], since: float, until: float) -> Subquery:
        """Answers of these people in a span of time, in no experiment or in whichever ran then. Two halves, so that
        each finds its people by the index of experiments and people."""
        ran = select(experiments.c.experiment_id).where(
            experiments.c.project == self._project,
            experiments.c.started_at <= until,
            or_(experiments.c.ended_at.is_(None), experiments.c.ended_at >= since),
        )
        ids = list(self._connection.execute(ran).scalars())
        columns = interactions.columns
        named = (columns.user_key, columns.created_at, columns.response_id)
        here = (
            columns.project == self._project,
            columns.user_key.in_(users),
            columns.created_at >= since,
            columns.created_at <= until,
        )
        return union_all(
            select(*named).where(*here, columns.experiment.is_(None)),
            select(*named).where(*here, columns.experiment.in_(ids)),
        ).subquery("around")


def _newest(rows: Sequence[Row[Any]], frozen_at: float) -> Row[Any] | None:
    """The newest final version made by `frozen_at`, or the first one; None without any."""
    final = sorted((row for row in rows if row.version > 0), key=lambda row: row.version)
    in_time = [row for row in final if row.made_at <= frozen_at]
    if not final:
        return None
    return in_time[-1] if in_time else final[0]


def _own(user_key: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    """Signals that the person gave, beyond those that an app sends by itself."""
    events = feedback_events.columns
    own = or_(events.user_key.is_(None), events.user_key == user_key)
    return own, events.operation == "set", events.signal.not_in(PASSIVE_SIGNALS)


def _labelled(around: Subquery, project: str) -> Select[Any]:
    return select(
        around.c.user_key, around.c.created_at, around.c.response_id, labels.c.choice, labels.c.version,
        labels.c.made_at, labels.c.objective_values,
    ).join(
        labels, (labels.c.project == project) & (labels.c.response_id == around.c.response_id), isouter=True
    )  # fmt: skip


def _reacted(around: Subquery, project: str) -> Select[Any]:
    events = feedback_events.columns
    return (
        select(
            around.c.user_key, around.c.created_at, around.c.response_id, func.min(events.received_at).label("first")
        )
        .join(feedback_events, events.response_id == around.c.response_id)
        .where(events.project == project, *_own(around.c.user_key))
        .group_by(around.c.response_id, around.c.user_key, around.c.created_at)
    )
