"""SQL of the console: what the loop has done, and what stands still. Every query is bounded, and follows an index."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, literal_column, select

from infra.db.tables import (
    adapters,
    audit_entries,
    decisions,
    experiments,
    job_runs,
    labels,
    reward_models,
    serving_state,
)

Row = RowMapping

_ADAPTER = (
    adapters.c.name, adapters.c.version, adapters.c.state, adapters.c.parent, adapters.c.run_id, adapters.c.lineage,
    adapters.c.created_at,
)  # fmt: skip
_REWARD_MODEL = (
    reward_models.c.name, reward_models.c.version, reward_models.c.state, reward_models.c.labels_used,
    reward_models.c.labels_as_of, reward_models.c.run_id, reward_models.c.created_at, reward_models.c.promoted_at,
)  # fmt: skip


class ConsoleRepository:
    """One project's rows, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def serving(self) -> Row | None:
        """The champion pointer."""
        return self._one(select(serving_state).where(serving_state.c.project == self._project))

    def running(self) -> Sequence[Row]:
        """Experiments that run, oldest first."""
        c = experiments.c
        query = select(experiments).where(c.project == self._project, c.status == "running", c.kind != "sentinel")
        return self._all(query.order_by(c.started_at))

    def experiments(self, limit: int) -> Sequence[Row]:
        """The newest experiments of whatever kind but the sentinel."""
        c = experiments.c
        query = select(experiments).where(c.project == self._project, c.kind != "sentinel")
        return self._all(query.order_by(c.started_at.desc(), c.experiment_id.desc()).limit(limit))

    def adapters(self, limit: int) -> Sequence[Row]:
        """The newest adapters, without their gate documents but for the label, the gain and the verdict."""
        c = adapters.c
        gate = (c.gate["label"].as_string().label("label"), c.gate["gain"].as_float().label("gain"))
        query = select(*_ADAPTER, *gate, c.gate["passed"].as_boolean().label("passed"))
        return self._all(query.where(c.project == self._project).order_by(c.created_at.desc()).limit(limit))

    def reward_models(self, limit: int) -> Sequence[Row]:
        """The newest reward models, without their reports."""
        c = reward_models.c
        query = select(*_REWARD_MODEL).where(c.project == self._project)
        return self._all(query.order_by(c.created_at.desc(), c.version.desc()).limit(limit))

    def decisions(self, limit: int, experiment_id: str | None = None) -> Sequence[Row]:
        """The newest rows of the ledger, newest first; of one experiment, or all."""
        c = decisions.c
        query = select(decisions).where(c.project == self._project)
        if experiment_id is not None:
            query = query.where(c.experiment_id == experiment_id)
        return self._all(query.order_by(c.sequence.desc()).limit(limit))

    def last_decisions(self, experiment_ids: Sequence[str]) -> dict[str, Row]:
        """By experiment, its newest row that is no hold."""
        found = {}
        c = decisions.c
        for experiment_id in experiment_ids:
            query = select(c.sequence, c.kind, c.reason, c.decided_at, c.experiment_id).where(
                c.project == self._project, c.experiment_id == experiment_id, c.kind != "hold"
            )
            row = self._one(query.order_by(c.sequence.desc()).limit(1))
            if row is not None:
                found[experiment_id] = row
        return found

    def last_run(self, job: str) -> Row | None:
        """The newest run of a job."""
        c = job_runs.c
        query = select(job_runs).where(c.project == self._project, c.job == job)
        return self._one(query.order_by(c.started_at.desc()).limit(1))

    def run(self, run_id: str) -> Row | None:
        """One run of a job."""
        return self._one(select(job_runs).where(job_runs.c.project == self._project, job_runs.c.run_id == run_id))

    def audit(self, limit: int) -> Sequence[Row]:
        """The newest entries of the audit trail, newest first."""
        c = audit_entries.c
        query = select(c.sequence, c.actor, c.action, c.detail, c.at).where(c.project == self._project)
        return self._all(query.order_by(c.sequence.desc()).limit(limit))

    def labels_waiting(self, most: int) -> int:
        """Labels whose window is open, counted up to `most`, in the order of their index: else all labels are read."""
        provisional: ColumnElement[bool] = literal_column("status = 'provisional'")  # literally: see the index
        query = select(labels.c.window_closes_at).where(labels.c.project == self._project, provisional)
        some = query.order_by(labels.c.window_closes_at).limit(most).subquery()
        return int(self._connection.execute(select(func.count()).select_from(some)).scalar_one())

    def newest_label_at(self) -> float | None:
        """When the newest final label was made."""
        c = labels.c
        query = select(c.made_at).where(c.project == self._project, literal_column("version >= 1"))
        return self._connection.execute(query.order_by(c.made_at.desc()).limit(1)).scalar_one_or_none()

    def _all(self, query: Select[Any]) -> Sequence[Row]:
        return self._connection.execute(query).mappings().all()

    def _one(self, query: Select[Any]) -> Row | None:
        return self._connection.execute(query).mappings().first()
