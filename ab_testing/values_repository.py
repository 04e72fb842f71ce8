"""SQL of exposures, frozen person values and what was counted of them, of one experiment."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Table, bindparam, func, select, update

from ab_testing.exposures import FLIP, UNCOUNTED, Due, Exposure
from ab_testing.metrics import Number
from infra.db import insert_ignore_many, rows_by_keys, upsert_many
from infra.db.tables import experiment_states, exposures, interactions, person_values

AT_ONCE = 400
"""People asked about in one query."""

ValueRow = tuple[str, float | None, int, float, float | None, float | None]
"""Arm, value, phase, frozen_at, denominator, covariate of one person."""


class StateRow(NamedTuple):
    """One row of `experiment_states`: sums of `arm` (a candidate's) against the control."""

    arm: str
    metric: str
    state: bytes
    people: int
    counted_through: float


class ValuesRepository:
    """One experiment's people, through one connection."""

    def __init__(self, connection: Connection, project: str, experiment_id: str) -> None:
        self._connection = connection
        self._project = project
        self._experiment_id = experiment_id

    def arrivals(self, since: float, watermark: float) -> list[str]:
        """Everybody with an answer in an arm from before the watermark that became known at `since` or later."""
        columns = interactions.columns
        here = (columns.project == self._project, columns.experiment == self._experiment_id)
        # One after the other, ids alone: each is a range of one index, which holds all that is asked for.
        new = [
            response_id
            for known_at in (columns.known_at >= since, columns.known_at.is_(None))
            for response_id in self._connection.execute(select(columns.response_id).where(*here, known_at)).scalars()
        ]
        fixed, rows = {"project": self._project}, list[Row[Any]]()
        for some in chunks(new):
            rows += rows_by_keys(
                self._connection, [columns.user_key], columns.response_id, some, fixed, *_counted(watermark)
            )
        return sorted({row.user_key for row in rows})

    def seen(self, watermark: float, users: Sequence[str]) -> list[Exposure]:
        """Of these people: first answer before the watermark, and how many arms."""
        found = []
        for some in chunks(users):
            rows: dict[str, list[Row[Any]]] = defaultdict(list)
            for row in self._answers_of(some, watermark):
                rows[row.user_key].append(row)
            for user, answers in rows.items():
                first = min(answers, key=lambda row: (row.created_at, row.response_id))
                arms = len({row.arm for row in answers})
                found.append(Exposure(user, first.arm, first.propensity, first.phase, arms, first.created_at))
        return found

    def exposed(self, users: Sequence[str] | None = None) -> list[Exposure]:
        """Everybody filed as exposed, or those of `users`, in order."""
        rows: Iterable[Row[Any]]
        if users is None:
            rows = self._connection.execute(select(exposures).where(*self._here(exposures)))
        else:
            rows = self._of(exposures, list(exposures.columns), users)
        people = [_exposure(row) for row in rows]
        # Sorted here: stores differ in how they order text.
        return sorted(people, key=lambda person: (person.first_at, person.user_key))

    def due(self, stage: int, until: float) -> list[Exposure]:
        """The first `AT_ONCE` people of a stage seen first at `until` or before, in order; those of the same instant
        are never parted."""
        columns = exposures.columns
        query = select(exposures).where(*self._here(exposures), columns.stage == stage, columns.first_at <= until)
        rows = list(self._connection.execute(query.order_by(columns.first_at).limit(AT_ONCE)))
        if len(rows) == AT_ONCE:
            last = rows[-1].first_at
            tied = select(exposures).where(*self._here(exposures), columns.stage == stage, columns.first_at == last)
            rows = [row for row in rows if row.first_at < last] + list(self._connection.execute(tied))
        return sorted(map(_exposure, rows), key=lambda person: (person.first_at, person.user_key))

    def write_exposures(self, people: Sequence[Exposure]) -> None:
        """Insert or correct exposures."""
        names = ("project", "experiment_id", "user_key", "arm", "propensity", "phase", "arms_seen", "first_at", "stage")
        rows = [
            (self._project, self._experiment_id, p.user_key, p.arm, p.propensity, p.phase, p.arms_seen, p.first_at,
             p.stage)
            for p in people
        ]  # fmt: skip
        upsert_many(self._connection, exposures, names, rows)

    def advance(self, people: Iterable[Exposure], stage: int, answers: Mapping[str, int] | None = None) -> None:
        """Move people on to a stage (flips to theirs), with how active they were, where that is known now."""
        rows = [
            {"user": p.user_key, "to": stage if p.arms_seen == 1 else FLIP, "active": (answers or {}).get(p.user_key)}
            for p in people
        ]
        values: dict[str, Any] = {"stage": bindparam("to")}
        if answers is not None:
            values["answers"] = bindparam("active")
        if rows:
            statement = update(exposures).where(*self._here(exposures), exposures.c.user_key == bindparam("user"))
            self._connection.execute(statement.values(values), rows)

    def flips(self) -> int:
        """How many people were seen in two arms."""
        query = select(func.count()).where(*self._here(exposures), exposures.c.stage == FLIP)
        return int(self._connection.execute(query).scalar_one())

    def most_active(self, arms: Sequence[str], people: int) -> list[str]:
        """Those with the most answers and signals among the frozen people of some arms."""
        columns, found = exposures.columns, []
        for arm in arms:
            query = select(columns.answers, columns.user_key).where(
                *self._here(exposures), columns.arm == arm, columns.answers.is_not(None)
            )
            ordered = query.order_by(columns.answers.desc(), columns.user_key).limit(people)
            found += [(-row.answers, row.user_key) for row in self._connection.execute(ordered)]
        return [user for _answers, user in sorted(found)[:people]]

    def any_before(self, stage: int) -> bool:
        """Whether anybody still waits for a count before `stage`."""
        columns = exposures.columns
        query = select(columns.user_key).where(
            *self._here(exposures), columns.stage >= UNCOUNTED, columns.stage < stage
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def newest_key(self, metric: str, frozen_at: float) -> tuple[float, str]:
        """The frontier of a metric: `frozen_at` and the greatest user key filed there, as far as it was not erased."""
        columns = person_values.columns
        query = select(columns.user_key).where(
            *self._here(person_values), columns.metric == metric, columns.frozen_at == frozen_at
        )
        return frozen_at, max(self._connection.execute(query).scalars(), default="")

    def write_values(self, rows: Sequence[tuple[Due, str, Number]]) -> None:
        """Freeze values (person, metric, number); what is frozen already stands."""
        names = (
            "project", "experiment_id", "user_key", "metric", "value", "arm", "propensity", "phase", "frozen_at",
            "denominator", "covariate",
        )  # fmt: skip
        parameters = [
            (
                self._project, self._experiment_id, due.exposure.user_key, metric, number.value,
                due.exposure.arm, due.exposure.propensity, due.exposure.phase, due.frozen_at,
                number.denominator, number.covariate,
            )
            for due, metric, number in rows
        ]  # fmt: skip
        insert_ignore_many(self._connection, person_values, names, parameters)

    def values(self, candidate: str | None = None) -> dict[str, list[ValueRow]]:
        """Metric -> everybody, or those of a candidate's arm and of the control, in the order in which they count."""
        columns = person_values.columns
        query = select(
            columns.frozen_at, columns.user_key, columns.metric, columns.arm, columns.value, columns.phase,
            columns.denominator, columns.covariate,
        ).where(*self._here(person_values))  # fmt: skip
        if candidate is not None:
            query = query.where(columns.arm.in_((candidate, "control")))
        rows = sorted(self._connection.execute(query), key=lambda row: tuple(row[:3]))
        found: dict[str, list[ValueRow]] = defaultdict(list)
        for frozen_at, _user_key, metric, arm, value, phase, denominator, covariate in rows:
            found[metric].append((arm, value, phase, frozen_at, denominator, covariate))
        return found

    def values_of(self, users: Sequence[str]) -> dict[str, list[tuple[str, float, float]]]:
        """Metric -> (arm, value, denominator) of these people, as far as they have one."""
        columns = person_values.columns
        wanted = [columns.metric, columns.arm, columns.value, columns.denominator]
        found: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
        for row in self._of(person_values, wanted, users):
            if row.value is not None:
                found[row.metric].append((row.arm, row.value, 1.0 if row.denominator is None else row.denominator))
        return found

    def numbers(self, users: Sequence[str]) -> dict[tuple[str, str], Number]:
        """(user key, metric) -> what was frozen of these people, covariates left out."""
        columns = person_values.columns
        wanted = [columns.user_key, columns.metric, columns.value, columns.denominator]
        rows = self._of(person_values, wanted, users)
        return {(row.user_key, row.metric): Number(row.value, row.denominator) for row in rows}

    def states(self) -> list[StateRow]:
        """Everything that was counted, by arm and metric."""
        columns = experiment_states.columns
        query = select(columns.arm, columns.metric, columns.state, columns.people, columns.counted_through)
        rows = self._connection.execute(query.where(*self._here(experiment_states)))
        return sorted(StateRow(row[0], row[1], bytes(row[2]), row[3], row[4]) for row in rows)

    def write_states(self, rows: Sequence[StateRow]) -> None:
        """Replace what was counted. Belongs into the transaction that writes what it counts."""
        names = ("project", "experiment_id", *StateRow._fields)
        parameters = [(self._project, self._experiment_id, *row) for row in rows]
        upsert_many(self._connection, experiment_states, names, parameters)

    def _here(self, table: Table) -> tuple[ColumnElement[bool], ...]:
        columns = table.columns
        return columns.project == self._project, columns.experiment_id == self._experiment_id

    def _of(self, table: Table, columns: Sequence[ColumnElement[Any]], users: Sequence[str]) -> Iterator[Row[Any]]:
        for some in chunks(users):
            fixed = {"project": self._project, "experiment_id": self._experiment_id}
            yield from rows_by_keys(self._connection, columns, table.columns.user_key, some, fixed)

    def _answers_of(self, users: Sequence[str], watermark: float) -> list[Row[Any]]:
        columns = interactions.columns
        wanted = (
            columns.user_key, columns.arm, columns.propensity, columns.phase, columns.created_at, columns.response_id
        )  # fmt: skip
        fixed = {"project": self._project, "experiment": self._experiment_id}
        return rows_by_keys(self._connection, wanted, columns.user_key, users, fixed, *_counted(watermark))


def chunks(users: Sequence[str]) -> Iterator[Sequence[str]]:
    """`AT_ONCE` users at a time."""
    for start in range(0, len(users), AT_ONCE):
        yield users[start : start + AT_ONCE]


def _counted(watermark: float) -> tuple[ColumnElement[bool], ...]:
    """Answers in an arm to somebody, from before the watermark."""
    columns = interactions.columns
    return columns.user_key.is_not(None), columns.arm.is_not(None), columns.created_at <= watermark


def _exposure(row: Row[Any]) -> Exposure:
    return Exposure(row.user_key, row.arm, row.propensity, row.phase, row.arms_seen, row.first_at, row.stage)
