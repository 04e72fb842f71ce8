"""SQL of an experiment's course: what its looks saw, thinned as people become more."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from infra.db import insert_ignore_many
from infra.db.tables import experiment_looks

COLUMNS = tuple(column.name for column in experiment_looks.columns)


class CourseRepository:
    """One project's looks, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def counted(self, experiment_id: str) -> dict[tuple[str, str], int]:
        """(arm, metric) -> people at the newest point that is kept."""
        columns = experiment_looks.c
        rows = self._connection.execute(
            select(columns.arm, columns.metric, func.max(columns.people).label("people"))
            .where(columns.project == self._project, columns.experiment_id == experiment_id)
            .group_by(columns.arm, columns.metric)
        )
        return {(row.arm, row.metric): int(row.people) for row in rows}

    def add(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Keep points; one of as many people that is there already stands."""
        rows = [tuple({"project": self._project, **point}[name] for name in COLUMNS) for point in points]
        insert_ignore_many(self._connection, experiment_looks, COLUMNS, rows)

    def points(self, experiment_id: str, arm: str, metric: str, most: int) -> Sequence[Mapping[str, Any]]:
        """The newest `most` points of one arm's metric, in order."""
        columns = experiment_looks.c
        query = (
            select(experiment_looks)
            .where(
                columns.project == self._project,
                columns.experiment_id == experiment_id,
                columns.arm == arm,
                columns.metric == metric,
            )
            .order_by(columns.people.desc())
            .limit(most)
        )
        return [dict(row) for row in reversed(self._connection.execute(query).mappings().all())]
