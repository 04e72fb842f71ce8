"""Exposures and person values up to a watermark: where all numbers of an experiment are made.

Reading and writing are apart, so that long reads never hold the store's write lock. There is one writer (the job's
lease), and what was written once stands, so a crash between the two only means doing it again.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from ab_testing.exposures import Due, Exposure, exposures_to_write, file_in_order, until_first_waiting
from ab_testing.metrics import Values, person_value
from ab_testing.values_repository import Facts, ValuesRepository
from infra.contracts import Experiment
from infra.db import Database
from infra.settings.ab_testing import AbTestingSettings

BATCH_PEOPLE = 400
"""People frozen in one transaction."""

Writing = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction in which this process is known to be the only writer."""

Row = tuple[Due, str, float | None]


def freeze_up_to(
    database: Database,
    writing: Writing,
    experiment: Experiment,
    rules: AbTestingSettings,
    freeze_after: float,
    watermark: float,
) -> int:
    """File everybody seen before `watermark` and freeze whose window is over by then; returns how many were frozen."""

    def repository(connection: Connection) -> ValuesRepository:
        return ValuesRepository(connection, experiment.project, experiment.experiment_id)

    with database.reading() as connection:
        people = new_exposures(repository(connection), watermark)
    if people:
        with writing() as connection:
            repository(connection).write_exposures(people)
    with database.reading() as connection:
        due = due_people(repository(connection), watermark, freeze_after)
    frozen = 0
    for start in range(0, len(due), BATCH_PEOPLE):
        batch = due[start : start + BATCH_PEOPLE]
        with database.reading() as connection:
            ready, rows = values_of(repository(connection), batch, rules)
        if rows:
            with writing() as connection:
                repository(connection).write_values(rows)
        frozen += ready
        if ready < len(batch):
            break
    return frozen


def new_exposures(repository: ValuesRepository, watermark: float) -> list[Exposure]:
    """Exposures before the watermark that the table lacks or has differently."""
    known = {person.user_key: person for person in repository.exposed()}
    return exposures_to_write(repository.seen(watermark), known, repository.frozen_people())


def due_people(repository: ValuesRepository, watermark: float, freeze_after: float) -> list[Due]:
    """Everybody whose window is over at the watermark and who is not frozen yet, in order; flips left out."""
    frozen = repository.frozen_people()
    due = [
        person
        for person in repository.exposed()
        if person.arms_seen == 1 and person.first_at + freeze_after <= watermark and person.user_key not in frozen
    ]
    return file_in_order(due, freeze_after, repository.frontier())


def values_of(repository: ValuesRepository, due: Sequence[Due], rules: AbTestingSettings) -> tuple[int, list[Row]]:
    """How many of `due` are ready, up to the first person whose labels are not final, and their values."""
    by_user = {person.exposure.user_key: person for person in due}
    facts = repository.facts(by_user, rules.metric_window_seconds)
    ready = until_first_waiting(due, facts.waiting)
    labels, responded = _by_person(facts, by_user)
    rows = []
    for person in ready:
        user = person.exposure.user_key
        rows += [
            (person, metric.name, person_value(metric, labels[user], user in responded)) for metric in rules.metrics
        ]
    return len(ready), rows


def _by_person(facts: Facts, people: dict[str, Due]) -> tuple[dict[str, list[Values]], set[str]]:
    """Labels of every person's answers, and who gave a signal of their own before their values froze."""
    labels: dict[str, list[Values]] = defaultdict(list)
    for label in facts.labels:
        labels[label.user_key].append(label.values)
    responded = {user for user, first in facts.responded if first <= people[user].frozen_at}
    return labels, responded
