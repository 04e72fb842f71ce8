"""All SQL of jobs: leases, runs, and the configurations runs were made under."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult, delete, func, insert, select, update

from infra.db import Dialect, insert_ignore
from infra.db.tables import config_snapshots, job_runs, leases
from infra.runtime.processes import surely_dead


@dataclass(frozen=True)
class Run:
    """One row of `job_runs`."""

    run_id: str
    job: str
    holder: str
    status: str
    detail: str
    progress: dict[str, Any]
    config_hash: str
    started_at: float
    heartbeat_at: float
    ended_at: float | None
    due_at: float | None = None
    cause: str = ""


def take_lease(
    connection: Connection, dialect: Dialect, project: str, name: str, holder: str, now: float, expires_at: float
) -> bool:
    """Take the lease if it is free, expired, or held by a process that is surely dead. One holder at a time."""
    mine = (leases.c.project == project) & (leases.c.name == name)
    row = connection.execute(select(leases.c.holder, leases.c.expires_at).where(mine).with_for_update()).first()
    values = {"holder": holder, "expires_at": expires_at}
    if row is None:
        statement = insert_ignore(leases, dialect).values(project=project, name=name, **values)
        return _rows(connection.execute(statement, execution_options={"preserve_rowcount": True})) == 1
    if row.expires_at > now and row.holder != holder and not surely_dead(row.holder):
        return False
    unchanged = mine & (leases.c.holder == row.holder)
    return _rows(connection.execute(update(leases).where(unchanged).values(**values))) == 1


def renew_lease(connection: Connection, project: str, name: str, holder: str, expires_at: float) -> bool:
    """Prolong the lease; False when it is no longer ours. An expired lease nobody took is still ours."""
    ours = (leases.c.project == project) & (leases.c.name == name) & (leases.c.holder == holder)
    return _rows(connection.execute(update(leases).where(ours).values(expires_at=expires_at))) == 1


def holds_lease(connection: Connection, project: str, name: str, holder: str) -> bool:
    """Whether `holder` has the lease; on PostgreSQL the row stays locked until the transaction ends."""
    ours = (leases.c.project == project) & (leases.c.name == name) & (leases.c.holder == holder)
    return connection.execute(select(leases.c.name).where(ours).with_for_update()).first() is not None


def release_lease(connection: Connection, project: str, name: str, holder: str) -> None:
    """Give the lease back, if it is still ours."""
    ours = (leases.c.project == project) & (leases.c.name == name) & (leases.c.holder == holder)
    connection.execute(delete(leases).where(ours))


@dataclass(frozen=True)
class NewRun:
    """A run that begins: its id and holder, the configuration it runs under, its fire and why it runs."""

    run_id: str
    holder: str
    config_hash: str
    due_at: float | None = None
    cause: str = ""


def start_run(connection: Connection, project: str, job: str, run: NewRun, now: float) -> None:
    """Write a new run. Whoever calls holds the lease, so what still claims to run has died: it is abandoned."""
    stale = (job_runs.c.project == project) & (job_runs.c.job == job) & (job_runs.c.status == "running")
    connection.execute(
        update(job_runs).where(stale).values(status="abandoned", detail="its process died", ended_at=now)
    )
    connection.execute(
        insert(job_runs).values(
            **asdict(run),
            project=project,
            job=job,
            status="running",
            detail="",
            progress={"fraction": 0.0, "text": ""},
            started_at=now,
            heartbeat_at=now,
        )
    )


def beat(connection: Connection, run_id: str, fraction: float, text: str, now: float) -> None:
    """Note that the run is alive, and how far it is."""
    connection.execute(
        update(job_runs)
        .where(job_runs.c.run_id == run_id, job_runs.c.status == "running")
        .values(heartbeat_at=now, progress={"fraction": fraction, "text": text})
    )


def end_run(connection: Connection, run_id: str, status: str, detail: str, now: float) -> bool:
    """Write how a run ended; False when it was no longer running: abandoned, another took over."""
    running = (job_runs.c.run_id == run_id) & (job_runs.c.status == "running")
    values = {"status": status, "detail": detail, "ended_at": now, "heartbeat_at": now}
    return _rows(connection.execute(update(job_runs).where(running).values(**values))) == 1


def fail_runs_of(connection: Connection, project: str, job: str, process: str, detail: str, now: float) -> int:
    """A process has died in the middle of `job`: its run failed, its lease is free. Returns the number of runs."""
    held = (leases.c.project == project) & (leases.c.name == job)
    connection.execute(delete(leases).where(held, leases.c.holder.startswith(process, autoescape=True)))
    died = (
        (job_runs.c.project == project)
        & (job_runs.c.job == job)
        & (job_runs.c.status == "running")
        & job_runs.c.holder.startswith(process, autoescape=True)
    )
    failed = connection.execute(update(job_runs).where(died).values(status="failed", detail=detail, ended_at=now))
    return _rows(failed)


def record_failure(
    connection: Connection,
    project: str,
    job: str,
    run_id: str,
    process: str,
    detail: str,
    started_at: float,
    now: float,
    due_at: float | None = None,
) -> None:
    """Write the run of a process that ended before it could write one itself."""
    connection.execute(
        insert(job_runs).values(
            run_id=run_id,
            project=project,
            job=job,
            holder=process,
            status="failed",
            detail=detail,
            progress={"fraction": 0.0, "text": ""},
            config_hash="",
            started_at=started_at,
            heartbeat_at=now,
            ended_at=now,
            due_at=due_at,
        )
    )


def prune_runs(connection: Connection, project: str, job: str, before: float) -> None:
    """Forget runs that started before an instant."""
    old = (job_runs.c.project == project) & (job_runs.c.job == job) & (job_runs.c.started_at < before)
    connection.execute(delete(job_runs).where(old, job_runs.c.status != "running"))


def last_run(connection: Connection, project: str, job: str) -> Run | None:
    """The run that started last."""
    runs = recent_runs(connection, project, job, limit=1)
    return runs[0] if runs else None


def last_run_of(connection: Connection, project: str, job: str, process: str) -> Run | None:
    """The newest run that a process wrote."""
    runs = recent_runs(connection, project, job, limit=10)
    return next((run for run in runs if run.holder.startswith(process)), None)


def recent_runs(connection: Connection, project: str, job: str | None = None, limit: int = 50) -> list[Run]:
    """Runs of one job, or of all, newest first."""
    columns = [c for c in job_runs.columns if c.name != "project"]
    query = select(*columns).where(job_runs.c.project == project)
    if job is not None:
        query = query.where(job_runs.c.job == job)
    query = query.order_by(job_runs.c.started_at.desc(), job_runs.c.run_id.desc()).limit(limit)
    return [Run(**row._mapping) for row in connection.execute(query)]


@dataclass(frozen=True)
class Standing:
    """Where a job stands: when it last ended done or skipped, its newest ended run, the run in progress, and how many
    runs failed or were abandoned since it last ended well."""

    last_success: float | None
    ended: Run | None
    running: Run | None
    failed: int


def known_jobs(connection: Connection, project: str) -> set[str]:
    """Names of all jobs that ever ran, as far as their records are kept.

    From one name to the next by the index (a skip scan): there are a dozen names and hundreds of thousands of runs.
    """
    found: set[str] = set()
    name = ""
    while True:
        query = select(func.min(job_runs.c.job)).where(job_runs.c.project == project, job_runs.c.job > name)
        following = connection.execute(query).scalar_one_or_none()
        if following is None:
            return found
        name = str(following)
        found.add(name)


def standing(connection: Connection, project: str, job: str) -> Standing:
    """Where a job stands, from its newest runs."""
    newest = recent_runs(connection, project, job, limit=20)
    well = _newest_well(connection, project, job)
    bad = job_runs.c.status.in_(("failed", "abandoned"))
    since = bad if well is None else bad & (job_runs.c.started_at > well.started_at)
    count = select(func.count()).where(job_runs.c.project == project, job_runs.c.job == job, since)
    return Standing(
        last_success=None if well is None else well.ended_at,
        ended=next((run for run in newest if run.status != "running"), None),
        running=next((run for run in newest if run.status == "running"), None),
        failed=int(connection.execute(count).scalar_one()),
    )


def _newest_well(connection: Connection, project: str, job: str) -> Run | None:
    columns = [c for c in job_runs.columns if c.name != "project"]
    well = job_runs.c.status.in_(("done", "skipped"))
    query = select(*columns).where(job_runs.c.project == project, job_runs.c.job == job, well)
    row = connection.execute(query.order_by(job_runs.c.started_at.desc()).limit(1)).first()
    return None if row is None else Run(**row._mapping)


def record_config(
    connection: Connection, dialect: Dialect, config_hash: str, document: dict[str, Any], now: float
) -> None:
    """Keep the resolved configuration behind a hash; the first time it is seen counts."""
    row = {"config_hash": config_hash, "document": document, "first_seen_at": now}
    connection.execute(insert_ignore(config_snapshots, dialect).values(**row))


def _rows(result: CursorResult[Any]) -> int:
    return int(result.rowcount)
