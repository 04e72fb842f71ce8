"""SQL of the gauges of serving."""

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from infra.contracts import AdapterRef
from infra.db.tables import adapter_proofs


class TelemetryRepository:
    """One project's proofs, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def proofs(self, refs: Iterable[AdapterRef]) -> dict[tuple[AdapterRef, str], int]:
        """(adapter, status) -> how many replicas say so."""
        c = adapter_proofs.c
        query = (
            select(c.adapter, c.status, func.count().label("replicas"))
            .where(c.project == self._project, c.adapter.in_(sorted(set(refs))))
            .group_by(c.adapter, c.status)
        )
        return {(row.adapter, row.status): int(row.replicas) for row in self._connection.execute(query)}
