"""SQL of sentinels, and of where an experiment's people come from: those it routed or, for a sentinel, the champion's
own, split on paper."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, update

from ab_testing.exposures import Exposure
from ab_testing.facts_repository import Answer, FactsRepository
from ab_testing.routing import assign
from ab_testing.values_repository import ValuesRepository, chunks
from infra.contracts import Experiment, Phase
from infra.db.tables import interactions, sentinels


def values_repository(connection: Connection, experiment: Experiment) -> ValuesRepository:
    """Exposures and values of an experiment."""
    if experiment.kind == "sentinel":
        return PaperValuesRepository(connection, experiment)
    return ValuesRepository(connection, experiment.project, experiment.experiment_id)


def facts_repository(connection: Connection, experiment: Experiment) -> FactsRepository:
    """What is known about an experiment's people."""
    return (PaperFactsRepository if experiment.kind == "sentinel" else FactsRepository)(connection, experiment)


class PaperValuesRepository(ValuesRepository):
    """People of a sentinel: whoever the champion answers while it runs, in an arm by the sentinel's own salt.

    Answers that come late are left out, which no arm can know of. Nobody is seen in two arms.
    """

    def __init__(self, connection: Connection, experiment: Experiment) -> None:
        super().__init__(connection, experiment.project, experiment.experiment_id)
        self._experiment = experiment

    def arrivals(self, since: float, watermark: float) -> list[str]:
        """New people with an answer of the champion's since then."""
        self._since = since
        columns = interactions.columns
        found = set(
            self._connection.execute(select(columns.user_key).where(*self._span(watermark)).distinct()).scalars()
        )
        known = {person.user_key for some in chunks(sorted(found)) for person in self.exposed(some)}
        return sorted(found - known)

    def seen(self, watermark: float, users: Sequence[str]) -> list[Exposure]:
        """Of these people: the first answer of this look."""
        columns, found = interactions.columns, []
        for some in chunks(users):
            first = (
                select(columns.user_key, func.min(columns.created_at).label("at"))
                .where(*self._span(watermark), columns.user_key.in_(some))
                .group_by(columns.user_key)
            )
            for row in self._connection.execute(first):
                arm = assign(self._experiment, row.user_key)
                found.append(Exposure(row.user_key, arm.arm or "control", arm.propensity, arm.phase, 1, row.at))
        return found

    def _span(self, watermark: float) -> tuple[ColumnElement[bool], ...]:
        columns = interactions.columns
        return (
            columns.project == self._project,
            columns.adapter == self._experiment.control,
            columns.user_key.is_not(None),
            columns.created_at >= max(self._since, self._experiment.started_at),
            columns.created_at <= watermark,
        )


class PaperFactsRepository(FactsRepository):
    """Answers of a sentinel's people: the champion's."""

    def _shown(self, users: Sequence[str], since: float, until: float) -> list[Answer]:
        """Read by their time: people who are due together were seen first within minutes of each other."""
        columns = interactions.columns
        query = select(columns.response_id, columns.user_key, columns.created_at).where(
            columns.project == self._project,
            columns.adapter == self._experiment.control,
            columns.user_key.in_(users),
            columns.created_at >= since,
            columns.created_at <= until,
        )
        return sorted(Answer(*row) for row in self._connection.execute(query))


class SentinelRepository:
    """One project's sentinels, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def current(self) -> Experiment | None:
        """The sentinel that watches, as an experiment of the champion against itself."""
        columns = sentinels.columns
        query = select(sentinels).where(columns.project == self._project, columns.ended_at.is_(None))
        row = self._connection.execute(query.order_by(columns.started_at.desc()).limit(1)).first()
        return None if row is None else _experiment(row)

    def insert(self, sentinel: Experiment) -> None:
        """A new one."""
        values = {
            "project": self._project, "experiment_id": sentinel.experiment_id, "champion": sentinel.control,
            "salt": sentinel.salt, "config": sentinel.config, "started_at": sentinel.started_at, "ended_at": None,
            "alarm": "", "acknowledged_at": None, "acknowledgement": "",
        }  # fmt: skip
        self._connection.execute(sentinels.insert().values(**values))

    def end(self, experiment_id: str, now: float, alarm: str = "") -> None:
        """It is over: full, for another champion, or with an alarm."""
        self._update(sentinels.columns.experiment_id == experiment_id, ended_at=now, alarm=alarm)

    def alarms(self) -> list[tuple[str, str]]:
        """(id, what was found) of alarms that nobody has acknowledged, oldest first."""
        columns = sentinels.columns
        query = select(columns.experiment_id, columns.alarm).where(
            columns.project == self._project, columns.alarm != "", columns.acknowledged_at.is_(None)
        )
        return [(row[0], row[1]) for row in self._connection.execute(query.order_by(columns.started_at))]

    def acknowledge(self, experiment_id: str, now: float, reason: str) -> None:
        """A person has looked at an alarm."""
        self._update(sentinels.columns.experiment_id == experiment_id, acknowledged_at=now, acknowledgement=reason)

    def _update(self, which: ColumnElement[bool], **values: Any) -> None:
        self._connection.execute(
            update(sentinels).where(sentinels.columns.project == self._project, which).values(**values)
        )


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(
        project=row.project, experiment_id=row.experiment_id, challenger=row.champion, control=row.champion,
        salt=row.salt, status="running", phases=(Phase(0, 0.5, row.started_at),), started_at=row.started_at,
        config=row.config, kind="sentinel",
    )  # fmt: skip
