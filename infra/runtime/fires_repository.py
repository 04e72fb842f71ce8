"""SQL of fires: up to which one a job is settled, and the runs of one fire so far."""

from sqlalchemy import ColumnElement, Connection, func, select

from infra.db import Dialect, insert_ignore
from infra.db.tables import job_cursors, job_runs
from infra.runtime.fires import Tries
from infra.runtime.processes import surely_dead


def settled_through(connection: Connection, project: str, job: str) -> float | None:
    """The newest fire that is settled, Unix seconds; None when none ever was."""
    c = job_cursors.c
    return connection.execute(select(c.settled_through).where(c.project == project, c.job == job)).scalar_one_or_none()


def settle(connection: Connection, project: str, job: str, fire: float) -> None:
    """Every fire up to this one has happened, or was tried often enough. Never steps back."""
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    row = {"project": project, "job": job, "settled_through": fire}
    connection.execute(insert_ignore(job_cursors, dialect).values(**row))
    c = job_cursors.c
    mine = (c.project == project) & (c.job == job) & (c.settled_through < fire)
    connection.execute(job_cursors.update().where(mine).values(settled_through=fire))


def tries(connection: Connection, project: str, job: str, fire: float, lease_seconds: float) -> Tries:
    """The runs of one fire so far. `lease_seconds`: how long a run is taken to be alive after its last heartbeat,
    unless its process is known to be gone."""
    c = job_runs.c
    here = (c.project == project) & (c.job == job) & (c.due_at == fire)
    query = select(c.status, func.count().label("runs")).where(here).group_by(c.status)
    counts = {row.status: int(row.runs) for row in connection.execute(query)}
    last = connection.execute(
        select(c.status, c.ended_at)
        .where(here, c.ended_at.is_not(None))
        .order_by(c.started_at.desc(), c.run_id.desc())
        .limit(1)
    ).first()
    return Tries(
        failed=counts.get("failed", 0) + counts.get("abandoned", 0),
        last_ended=None if last is None else last.ended_at,
        last_status="" if last is None else last.status,
        held_until=_held_until(connection, here, lease_seconds) if counts.get("running") else None,
    )


def _held_until(connection: Connection, here: ColumnElement[bool], lease_seconds: float) -> float:
    """0.0 when every process that claims to run it is dead."""
    c = job_runs.c
    rows = connection.execute(select(c.holder, c.heartbeat_at).where(here, c.status == "running"))
    return max((row.heartbeat_at + lease_seconds for row in rows if not surely_dead(row.holder)), default=0.0)


def newest_start(connection: Connection, project: str, job: str) -> float | None:
    """When the newest run of a job began, by whatever cause."""
    c = job_runs.c
    return connection.execute(select(func.max(c.started_at)).where(c.project == project, c.job == job)).scalar()
