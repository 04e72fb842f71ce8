"""SQL of the gauges of the policy update."""

from sqlalchemy import Connection, RowMapping, func, select

from infra.db.tables import adapters


class TelemetryRepository:
    """One project's adapters, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def states(self) -> dict[str, int]:
        """State -> how many adapters are in it."""
        query = select(adapters.c.state, func.count().label("adapters")).where(adapters.c.project == self._project)
        return {str(row.state): int(row.adapters) for row in self._connection.execute(query.group_by(adapters.c.state))}

    def newest(self, most: int) -> list[RowMapping]:
        """State, gate document and instant of the newest adapters, newest first."""
        c = adapters.c
        query = select(c.state, c.gate, c.created_at).where(c.project == self._project)
        rows = self._connection.execute(query.order_by(c.created_at.desc(), c.version.desc()).limit(most))
        return list(rows.mappings())
