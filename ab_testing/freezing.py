"""Exposures and person values up to a watermark: where all numbers of an experiment are made.

Three steps, each of them only about what is new: people whose answers became known are filed; people who were filed
long enough ago are counted into the sample ratio; people whose window is over get their values frozen, group of metrics
by group, and are counted. Where a person stands is the `stage` of the exposure's row.

Reading and writing are apart, so that long reads never hold the store's write lock. There is one writer (the job's
lease), rows and what was counted of them are written in one transaction, and what was written once stands, so a crash
between two transactions only means doing the rest again.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ab_testing.exposures import (
    FIRST_GROUP,
    UNCOUNTED,
    Due,
    Exposure,
    MetricGroup,
    daytime_of,
    exposures_to_write,
    file_in_order,
    metric_groups,
    until_first_waiting,
)
from ab_testing.facts_repository import Facts, FactsRepository, History
from ab_testing.metrics import RETURN, Number, Values, covariate_of, person_number
from ab_testing.sentinel_repository import facts_repository, values_repository
from ab_testing.standing import ARRIVALS, NEVER, Standing
from ab_testing.values_repository import AT_ONCE, StateRow, ValuesRepository
from infra.contracts import Experiment
from infra.db import Database
from infra.settings.ab_testing import AbTestingSettings, MetricSettings

OVERLAP_SECONDS = 60.0
"""Looked back beyond the last watermark for answers that became known meanwhile: by how much clocks may differ."""
MARK_SECONDS = 60.0
"""A look that found nobody moves the mark on only after so long: most looks then write nothing."""

Writing = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction in which this process is known to be the only writer."""

Row = tuple[Due, str, Number]


@dataclass(frozen=True)
class Freezing:
    """One look at one experiment."""

    database: Database
    writing: Writing
    experiment: Experiment
    rules: AbTestingSettings
    watermark: float

    def file_arrivals(self) -> None:
        """File everybody whose answers before the watermark became known since the last look."""
        with self.database.reading() as connection:
            repository = self._values(connection)
            mark = next((row.counted_through for row in repository.states() if row.metric == ARRIVALS), NEVER)
            people = new_exposures(repository, min(mark, self.watermark) - OVERLAP_SECONDS, self.watermark)
        if people or self.watermark >= mark + MARK_SECONDS:
            with self.writing() as connection:
                self._values(connection).write_exposures(people)
                self._values(connection).write_states([StateRow("", ARRIVALS, b"", 0, max(mark, self.watermark))])

    def count_exposed(self) -> None:
        """Count everybody into the sample ratio who was seen first longer ago than answers may be late."""
        until = self.watermark - self.rules.allowed_lateness_seconds
        while True:
            with self.database.reading() as connection:
                repository = self._values(connection)
                people = repository.due(UNCOUNTED, until)
                if not people:
                    return
                standing = Standing.of(self.experiment, self.rules, repository.states())
                segments = segments_of(facts_repository(connection, self.experiment), people, self.rules)
            standing.count_exposed(people, segments)
            with self.writing() as connection:
                repository = self._values(connection)
                repository.advance(people, FIRST_GROUP)
                repository.write_states(standing.rows())
            if len(people) < AT_ONCE:
                return

    def freeze(self, group: MetricGroup) -> int:
        """Freeze and count the values of everybody whose window is over; returns how many people."""
        frozen = 0
        while True:
            with self.database.reading() as connection:
                repository = self._values(connection)
                due = due_people(repository, group, self.watermark)
                if not due:
                    return frozen
                facts = facts_repository(connection, self.experiment)
                ready, rows, answers = values_of(facts, self.experiment, due, group, self.rules)
                standing = Standing.of(self.experiment, self.rules, repository.states())
            standing.count_values(rows)
            if ready:
                with self.writing() as connection:
                    repository = self._values(connection)
                    repository.write_values(rows)
                    people = [person.exposure for person in ready]
                    repository.advance(people, group.stage + 1, answers if group.stage == FIRST_GROUP else None)
                    repository.write_states(standing.rows())
            frozen += len(ready)
            if len(ready) < len(due) or len(due) < AT_ONCE:
                return frozen

    def _values(self, connection: Connection) -> ValuesRepository:
        return values_repository(connection, self.experiment)


def freeze_up_to(
    database: Database,
    writing: Writing,
    experiment: Experiment,
    rules: AbTestingSettings,
    freeze_after: float,
    watermark: float,
    *,
    files: bool = True,
) -> int:
    """File everybody seen before `watermark` and freeze whose window is over by then; returns how many were frozen
    (the most of any group of metrics). `freeze_after`: where the experiment names no time of a metric's own; `files`
    False: nobody new is filed."""
    look = Freezing(database, writing, experiment, rules, watermark)
    if files:
        look.file_arrivals()
    look.count_exposed()
    return max(look.freeze(group) for group in metric_groups(experiment, rules, freeze_after))


def new_exposures(repository: ValuesRepository, since: float, watermark: float) -> list[Exposure]:
    """Exposures before the watermark that the table lacks or has differently, of people with an answer that became
    known at `since` or later."""
    users = repository.arrivals(since, watermark)
    known = {person.user_key: person for person in repository.exposed(users)}
    return exposures_to_write(repository.seen(watermark, users), known)


def due_people(repository: ValuesRepository, group: MetricGroup, watermark: float) -> list[Due]:
    """The next people whose window is over at the watermark and whose values of the group are not frozen, in order."""
    due = repository.due(group.stage, watermark - group.freeze_after)
    if not due:
        return []
    metric = group.metrics[0].name
    newest = Standing.newest(repository.states(), metric)
    return file_in_order(due, group.freeze_after, repository.newest_key(metric, newest))


def values_of(
    facts: FactsRepository,
    experiment: Experiment,
    due: Sequence[Due],
    group: MetricGroup,
    rules: AbTestingSettings,
) -> tuple[list[Due], list[Row], dict[str, int]]:
    """The people of `due` who are ready, up to the first whose labels are not final, their numbers, and how active
    each was in the window."""
    by_user = {person.exposure.user_key: person for person in due}
    known = known_of(facts, by_user, group, rules)
    ready = until_first_waiting(due, known.waiting)
    people = {person.exposure.user_key: person for person in ready}
    return ready, numbers_of(facts, experiment, people, known, group, rules), _activity(known, people)


def known_of(facts: FactsRepository, people: dict[str, Due], group: MetricGroup, rules: AbTestingSettings) -> Facts:
    """What the metrics of a group are made from, over the longest of their windows; nothing where none needs labels."""
    windows = [window_of(metric, rules) for metric in group.metrics if metric.objective != RETURN]
    return facts.facts(people, max(windows)) if windows and people else Facts((), (), frozenset())


def numbers_of(
    facts: FactsRepository,
    experiment: Experiment,
    people: dict[str, Due],
    known: Facts,
    group: MetricGroup,
    rules: AbTestingSettings,
) -> list[Row]:
    """Everybody's number of every metric of the group, metric by metric, people in their order."""
    if not people:
        return []
    days = _Days.of(experiment)
    comes_back = any(metric.objective == RETURN for metric in group.metrics)
    returned = _returned(facts, people, days) if comes_back else set()
    histories = _histories(facts, people, rules, days)
    rows: list[Row] = []
    for metric in group.metrics:
        labels, responded = _by_person(known, people, window_of(metric, rules))
        for user, person in people.items():
            number = person_number(metric, labels[user], user in responded, user in returned)
            covariate = _covariate(metric, histories.get(user, History()), rules) if rules.covariate_days else None
            rows.append((person, metric.name, replace(number, covariate=covariate)))
    return rows


def window_of(metric: MetricSettings, rules: AbTestingSettings) -> float:
    """How long after the first answer further ones count, seconds."""
    return metric.window_seconds or rules.metric_window_seconds


def segments_of(facts: FactsRepository, people: Sequence[Exposure], rules: AbTestingSettings) -> dict[str, list[str]]:
    """User key -> the segments the person is in, as far as they were known before the first answer."""
    found: dict[str, list[str]] = {person.user_key: [] for person in people}
    if "daytime" in rules.segments:
        for person in people:
            found[person.user_key].append(f"daytime={daytime_of(person.first_at)}")
    if "device" in rules.segments:
        devices = facts.devices(people, max(rules.covariate_days, 1.0) * 86400)
        for user, names in found.items():
            names.append(f"device={devices.get(user, 'unknown')}")
    if "turn" in rules.segments:
        turns = facts.turns(people)
        for user, names in found.items():
            names.append(f"turn={'first' if turns.get(user, 1) <= 1 else 'later'}")
    return found


@dataclass(frozen=True)
class _Days:
    """How days are counted: as `ingest.validity` had it when the experiment began."""

    seconds: float
    to_return: int

    @classmethod
    def of(cls, experiment: Experiment) -> "_Days":
        config = experiment.config
        return cls(float(str(config.get("day_seconds", 86400.0))), int(str(config.get("return_days", 7))))


def _returned(facts: FactsRepository, people: dict[str, Due], days: _Days) -> set[str]:
    """Who was active again on days 1 to `return_days` after the day of the first exposure."""
    active = facts.active_days(people, (days.to_return + 1) * days.seconds, days.seconds)
    first = {user: int(person.exposure.first_at // days.seconds) for user, person in people.items()}
    return {user for user in people if any(0 < day - first[user] <= days.to_return for day in active[user])}


def _histories(
    facts: FactsRepository, people: dict[str, Due], rules: AbTestingSettings, days: _Days
) -> dict[str, History]:
    if not people or not rules.covariate_days:
        return {}
    return facts.histories(people, rules.covariate_days * days.seconds, days.seconds)


def _covariate(metric: MetricSettings, history: History, rules: AbTestingSettings) -> float | None:
    return covariate_of(metric, history.labels, len(history.responded), len(history.days), rules.covariate_days)


def _by_person(facts: Facts, people: dict[str, Due], window: float) -> tuple[dict[str, list[Values]], set[str]]:
    """Labels of every person's answers in the window, and who gave a signal of their own before the values froze."""
    labels: dict[str, list[Values]] = defaultdict(list)
    for label in facts.labels:
        if label.user_key in people and label.created_at <= people[label.user_key].exposure.first_at + window:
            labels[label.user_key].append(label.values)
    responded = {
        response.user_key
        for response in facts.responses
        if (person := people.get(response.user_key)) is not None
        and response.created_at <= person.exposure.first_at + window
        and response.first <= person.frozen_at
    }
    return labels, responded


def _activity(facts: Facts, people: dict[str, Due]) -> dict[str, int]:
    """Labelled answers and own signals of each person."""
    found = dict.fromkeys(people, 0)
    for label in facts.labels:
        if label.user_key in found:
            found[label.user_key] += 1
    for response in facts.responses:
        if response.user_key in found:
            found[response.user_key] += response.signals
    return found
