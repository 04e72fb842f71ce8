"""What the doctor asks the store."""

from sqlalchemy import Connection, func, select, text

from infra.db.tables import adapter_proofs


def store_clock(connection: Connection) -> float:
    """The clock of a PostgreSQL server, Unix seconds."""
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def replicas_since(connection: Connection, project: str, since: float) -> list[str]:
    """Replicas of the gateway that have proven an adapter since an instant, in order."""
    columns = adapter_proofs.columns
    newest = func.max(columns.proved_at)
    rows = connection.execute(
        select(columns.replica)
        .where(columns.project == project)
        .group_by(columns.replica)
        .having(newest >= since)
        .order_by(columns.replica)
    )
    return list(rows.scalars())
