"""SQL of reading times and of the models fitted to them."""

from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, and_, func, insert, select

from infra.contracts import PlauditError
from infra.db.tables import dwell_models, experiments, feedback_events, interactions, serving_state
from ingest.dwell.model import DwellModel


class UnknownModel(PlauditError):
    """There is no model of reading times of that version."""

    code = "unknown_dwell_model"
    status = 404


RUNNING = "running"
"""Status of an experiment that is under way (`ab_testing`)."""


class ReadingTime(NamedTuple):
    """One event of reading time about an answer, with the instant it speaks of."""

    response_id: str
    choice: int
    user_key: str | None
    event_id: str
    operation: str
    seconds: float | None
    derived_at: float
    device: str | None


class DwellRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def champion(self) -> str | None:
        """The adapter in service, None before the first decision."""
        c = serving_state.c
        return self._connection.execute(select(c.champion).where(c.project == self._project)).scalar()

    def readings(self, champion: str, since: float, limit: int) -> list[ReadingTime]:
        """The newest `limit` events of reading time about answers of `champion` made since `since`."""
        e, i = feedback_events.c, interactions.c
        rows = self._connection.execute(
            select(e.response_id, e.choice, e.user_key, e.event_id, e.operation, e.value, e.derived_at, e.device)
            .select_from(
                interactions.join(feedback_events, and_(e.project == i.project, e.response_id == i.response_id))
            )
            .where(i.project == self._project, i.created_at >= since, i.adapter == champion, e.signal == "dwell")
            .order_by(i.created_at.desc(), e.event_id.desc())
            .limit(limit)
        )
        return [ReadingTime._make(row) for row in rows]

    def add(self, model: DwellModel, readings: int, now: float) -> int:
        """Keep a model; returns its version."""
        c = dwell_models.c
        newest = self._connection.execute(select(func.max(c.version)).where(c.project == self._project)).scalar()
        version = (newest or 0) + 1
        self._connection.execute(
            insert(dwell_models).values(
                project=self._project,
                version=version,
                readings=readings,
                document=msgspec.to_builtins(model),
                fitted_at=now,
            )
        )
        return version

    def in_force(self) -> tuple[int, DwellModel] | None:
        """The newest model or, while an experiment runs, the newest that was there when it began."""
        c, e = dwell_models.c, experiments.c
        began = self._connection.execute(
            select(func.min(e.started_at)).where(e.project == self._project, e.status == RUNNING)
        ).scalar()
        query = select(c.version, c.document).where(c.project == self._project)
        if began is not None:
            query = query.where(c.fitted_at <= began)
        row = self._connection.execute(query.order_by(c.version.desc()).limit(1)).first()
        return None if row is None else (row.version, msgspec.convert(row.document, DwellModel))

    def model(self, version: int) -> DwellModel:
        """One version. Raises UnknownModel."""
        c = dwell_models.c
        document = self._connection.execute(
            select(c.document).where(c.project == self._project, c.version == version)
        ).scalar()
        if document is None:
            raise UnknownModel(
                f"there is no model of reading times of version {version}; restore its row in `dwell_models`",
                field="version",
            )
        return msgspec.convert(document, DwellModel)

    def newest(self) -> tuple[int, float] | None:
        """(version, when it was fitted) of the newest model."""
        c = dwell_models.c
        row = self._connection.execute(
            select(c.version, c.fitted_at).where(c.project == self._project).order_by(c.version.desc()).limit(1)
        ).first()
        return None if row is None else (row.version, row.fitted_at)
