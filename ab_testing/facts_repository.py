"""SQL of what is known about the answers that people of an experiment got: labels, signals, days, and times before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, or_, select

from ab_testing.exposures import Due, Exposure
from ab_testing.metrics import PASSIVE_SIGNALS, Values
from infra.contracts import Experiment, Interaction
from infra.db import rows_by_keys
from infra.db.tables import experiments, feedback_events, interactions, labels


class Answer(NamedTuple):
    """An answer that a person got, and when."""

    response_id: str
    user_key: str
    created_at: float


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
        since, until = min(due.exposure.first_at for due in people.values()), max(closes.values())
        shown = self._shown(list(people), since, until)
        answers = {a.response_id: a for a in shown if a.created_at <= closes[a.user_key]}
        found, waiting = [], set()
        for (response_id, _choice), rows in self._labels_of(answers).items():
            answer = answers[response_id]
            label = _newest(rows, people[answer.user_key].frozen_at)
            if label is None:
                waiting.add(answer.user_key)
            else:
                found.append(AnswerLabel(answer.user_key, answer.created_at, label.objective_values))
        return Facts(tuple(found), tuple(self._responses(answers)), frozenset(waiting))

    def histories(self, people: Mapping[str, Due], seconds: float, day_seconds: float) -> dict[str, History]:
        """What was known of each person before the first exposure, about the `seconds` before it."""
        first = {user: due.exposure.first_at for user, due in people.items()}
        earlier = self._before(first, seconds)
        found: dict[str, History] = defaultdict(History)
        for answer in earlier.values():
            found[answer.user_key].days.add(int(answer.created_at // day_seconds))
        for (response_id, _choice), rows in self._labels_of(earlier).items():
            user = earlier[response_id].user_key
            made = [row for row in rows if row.version > 0 and row.made_at <= first[user]]
            if made:
                found[user].labels.append(made[-1].objective_values)
        for row in self._signals_of(earlier):
            user = earlier[row.response_id].user_key
            if row.received_at < first[user]:
                found[user].responded.add(row.response_id)
        return found

    def active_days(self, people: Mapping[str, Due], seconds: float, day_seconds: float) -> dict[str, set[int]]:
        """The days (from 1970) on which each person got an answer, in or out of the experiment, from the first exposure
        on and for `seconds`."""
        first = [due.exposure.first_at for due in people.values()]
        found: dict[str, set[int]] = defaultdict(set)
        for answer in self._around(list(people), min(first), max(first) + seconds):
            found[answer.user_key].add(int(answer.created_at // day_seconds))
        return found

    def devices(self, people: Sequence[Exposure], seconds: float) -> dict[str, str]:
        """The device of each person's newest reaction before the first exposure; people without one are left out."""
        first = {person.user_key: person.first_at for person in people}
        earlier = self._before(first, seconds)
        events = feedback_events.columns
        wanted = (events.response_id, events.received_at, events.event_id, events.device)
        known = [
            row
            for row in self._events_of(earlier, wanted, events.device.is_not(None))
            if row.received_at < first[earlier[row.response_id].user_key]
        ]
        known.sort(key=lambda row: (row.received_at, row.event_id))
        return {earlier[row.response_id].user_key: row.device for row in known}

    def turns(self, people: Sequence[Exposure]) -> dict[str, int]:
        """How many messages of people the first answer in the experiment had before it."""
        first = {person.user_key: person.first_at for person in people}
        answers = self._shown(list(first), min(first.values()), max(first.values()))
        begun = {a.response_id: a.user_key for a in answers if a.created_at == first[a.user_key]}
        columns, found = interactions.columns, {}
        fixed, wanted = {"project": self._project}, (columns.response_id, columns.payload)
        for row in rows_by_keys(self._connection, wanted, columns.response_id, list(begun), fixed):
            made = msgspec.msgpack.decode(row.payload, type=Interaction)
            found[begun[row.response_id]] = sum(message.role == "user" for message in made.messages)
        return found

    def _labels_of(self, answers: Mapping[str, Answer]) -> dict[tuple[str, int], list[Row[Any]]]:
        """(response id, choice) -> every version of its label, the oldest first."""
        columns = labels.columns
        wanted = (columns.response_id, columns.choice, columns.version, columns.made_at, columns.objective_values)
        rows = rows_by_keys(self._connection, wanted, columns.response_id, list(answers), {"project": self._project})
        versions: dict[tuple[str, int], list[Row[Any]]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: tuple(row[:3])):
            versions[row.response_id, row.choice].append(row)
        return versions

    def _responses(self, answers: Mapping[str, Answer]) -> list[Response]:
        """When each of these answers first drew a signal of its person's own, and how many it drew in time."""
        label_seconds = float(str(self._experiment.config.get("label_seconds", "inf")))
        found: dict[str, Response] = {}
        for row in self._signals_of(answers):
            answer = answers[row.response_id]
            known = found.get(row.response_id, Response(answer.user_key, answer.created_at, row.received_at, 0))
            in_time = row.received_at <= answer.created_at + label_seconds
            first = min(known.first, row.received_at)
            found[row.response_id] = replace(known, first=first, signals=known.signals + in_time)
        return list(found.values())

    def _signals_of(self, answers: Mapping[str, Answer]) -> list[Row[Any]]:
        """Signals that these answers drew of their own person, beyond those that an app sends by itself."""
        events = feedback_events.columns
        wanted = (events.response_id, events.received_at, events.user_key)
        active = (events.operation == "set", events.signal.not_in(PASSIVE_SIGNALS))
        return [
            row
            for row in self._events_of(answers, wanted, *active)
            if row.user_key in (None, answers[row.response_id].user_key)
        ]

    def _events_of(
        self, answers: Mapping[str, Answer], wanted: Sequence[ColumnElement[Any]], *where: ColumnElement[bool]
    ) -> list[Row[Any]]:
        by_answer, fixed = feedback_events.columns.response_id, {"project": self._project}
        return rows_by_keys(self._connection, wanted, by_answer, list(answers), fixed, *where)

    def _shown(self, users: Sequence[str], since: float, until: float) -> list[Answer]:
        """The answers that these people got in the experiment, in a span of time."""
        return self._in(self._experiment.experiment_id, users, since, until)

    def _before(self, first: Mapping[str, float], seconds: float) -> dict[str, Answer]:
        """The answers that each person got in the `seconds` before the first one of the experiment, by response id."""
        around = self._around(list(first), min(first.values()) - seconds, max(first.values()))
        return {
            answer.response_id: answer
            for answer in around
            if first[answer.user_key] - seconds <= answer.created_at < first[answer.user_key]
        }

    def _around(self, users: Sequence[str], since: float, until: float) -> list[Answer]:
        """Answers of these people in a span of time, in no experiment or in whichever ran then: one after the other,
        each by the index of experiments and people."""
        ran = select(experiments.c.experiment_id).where(
            experiments.c.project == self._project,
            experiments.c.started_at <= until,
            or_(experiments.c.ended_at.is_(None), experiments.c.ended_at >= since),
        )
        ids = self._connection.execute(ran).scalars()
        return [answer for ran_then in (None, *ids) for answer in self._in(ran_then, users, since, until)]

    def _in(self, experiment_id: str | None, users: Sequence[str], since: float, until: float) -> list[Answer]:
        columns = interactions.columns
        rows = rows_by_keys(
            self._connection,
            (columns.response_id, columns.user_key, columns.created_at),
            columns.user_key,
            users,
            {"project": self._project, "experiment": experiment_id},
            columns.created_at >= since,
            columns.created_at <= until,
        )
        return sorted(Answer(row.response_id, row.user_key, row.created_at) for row in rows)


def _newest(rows: Sequence[Row[Any]], frozen_at: float) -> Row[Any] | None:
    """The newest final version made by `frozen_at`, or the first one; None without any."""
    final = sorted((row for row in rows if row.version > 0), key=lambda row: row.version)
    in_time = [row for row in final if row.made_at <= frozen_at]
    if not final:
        return None
    return in_time[-1] if in_time else final[0]
