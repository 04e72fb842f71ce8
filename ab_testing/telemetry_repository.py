"""SQL of the gauges of experiments."""

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from infra.db.tables import breaker_trips, decisions, experiments


class LedgerKind(NamedTuple):
    """Rows of one kind of decision: how many, and when the newest was written."""

    rows: int
    newest: float


class TelemetryRepository:
    """One project's ledger, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def ledger(self) -> dict[str, LedgerKind]:
        """Kind -> its rows. The ledger grows by a few rows an experiment: a hold is written when its reason changes."""
        c = decisions.c
        query = select(c.kind, func.count().label("rows"), func.max(c.decided_at).label("newest"))
        found = self._connection.execute(query.where(c.project == self._project).group_by(c.kind))
        return {str(row.kind): LedgerKind(int(row.rows), float(row.newest)) for row in found}

    def tripped_arms(self) -> int:
        """Arms of running experiments that some replica has given up."""
        trips, running = breaker_trips.c, experiments.c
        query = (
            select(trips.experiment_id, trips.arm)
            .distinct()
            .where(
                trips.project == self._project,
                running.project == self._project,
                trips.experiment_id == running.experiment_id,
                running.status == "running",
            )
        )
        return len(self._connection.execute(query).all())
