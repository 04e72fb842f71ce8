"""`plaudit jobs`: what runs on a schedule; the same table that `plaudit up` and deployments read."""

from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.common import console, group, opened, settings

if TYPE_CHECKING:
    from infra.runtime import Context, Job
    from infra.runtime.pauses_repository import Pause
    from infra.runtime.repository import Run

app = group("What runs on a schedule.")

Name = Annotated[str, typer.Argument(help="As `plaudit jobs list` names it.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the audit trail for ever.")]


@app.command("list")
def list_jobs() -> None:
    """Every job: when it runs, how long it may take, how it last ended, what it does now."""
    from rich.table import Table

    from infra.runtime.pausing import paused
    from infra.runtime.repository import standing
    from plaudit.jobs import all_jobs

    table = Table("job", "runs", "deadline", "in", "last", "now", box=None, header_style="bold")
    with opened("jobs") as context:
        stopped = paused(context)
        for job in all_jobs():
            place = "a process of its own" if job.child else "the main process"
            with context.database.reading() as connection:
                found = standing(connection, context.settings.project, job.name)
            last = "never" if found.ended is None else f"{found.ended.status}, {_ago(context, found.ended)}"
            now = "" if found.running is None else f"runs, {found.running.progress.get('fraction', 0.0):.0%}"
            if found.failed:
                last += f", {found.failed} failures"
            table.add_row(
                job.name,
                _rhythm(job, context),
                f"{job.deadline_seconds:g} s",
                place,
                last,
                _paused(stopped, job) or now,
            )
    console().print(table)


@app.command()
def history(
    name: Annotated[str | None, typer.Argument(help="One job; without it all of them.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many runs, newest first.")] = 20,
) -> None:
    """How runs ended, in words, newest first."""
    from rich.markup import escape
    from rich.table import Table

    from infra.runtime.repository import recent_runs
    from plaudit.jobs import job_named

    if name is not None:
        job_named(name)
    table = Table("job", "began (UTC)", "took", "ended", "cause", "detail", box=None, header_style="bold")
    with opened("jobs") as context, context.database.reading() as connection:
        runs = recent_runs(connection, context.settings.project, name, limit)
    for run in runs:
        took = "" if run.ended_at is None else f"{run.ended_at - run.started_at:.1f} s"
        cause = run.cause or ("schedule" if run.due_at is not None else "by hand")
        table.add_row(run.job, _instant(run.started_at), took, run.status, cause, escape(run.detail))
    console().print(table if runs else "no runs yet")


@app.command()
def run(
    name: Name,
    fire: Annotated[float | None, typer.Option(hidden=True, help="Instant of the schedule, Unix seconds.")] = None,
    cause: Annotated[str, typer.Option(hidden=True, help="Why it runs before its time.")] = "",
) -> None:
    """Run one job now, under its lease. Exit 0: done, or skipped with the reason; 1: failed; 75: try later."""
    raise typer.Exit(run_once(name, fire, cause))


@app.command()
def pause(name: Name, reason: Reason) -> None:
    """Let a job stand still, in every process, until it is resumed; a run in progress goes on."""
    from infra.runtime.pausing import pause as stop
    from plaudit.jobs import job_named

    job_named(name)
    with opened("jobs") as context:
        made = stop(context, name, _operator(), reason, lambda c, p: _note(c, context, "job.paused", p))
    console().print(f"{name} is paused: {made.reason}")


@app.command()
def resume(name: Name) -> None:
    """Let a job run again at its time."""
    from infra.runtime.pausing import resume as go_on
    from plaudit.jobs import job_named

    job_named(name)
    with opened("jobs") as context:
        ended = go_on(context, name, lambda c, p: _note(c, context, "job.resumed", p))
    console().print(f"{name} goes on; it was paused by {ended.actor}: {ended.reason}")


def run_once(name: str, fire: float | None = None, cause: str = "") -> int:
    """Run the job `name` in this process and return its exit code; a signal asks it to end soon."""
    from infra.runtime import Shutdown, configure_logging, open_context, run_job
    from plaudit.jobs import job_named

    job, current = job_named(name), settings()
    configure_logging(current, process=name)
    shutdown = Shutdown()
    shutdown.install()
    context = open_context(current)
    try:
        return run_job(context, job, shutdown.stop, fire=fire, cause=cause)
    finally:
        context.close()


def _rhythm(job: "Job", context: "Context") -> str:
    timing = job.timing(context.settings)
    told = f"at {timing.cron}" if timing.cron else f"every {timing.every:g} s"
    return f"{told}, or by evidence" if job.by_evidence else told


def _paused(stopped: "dict[str, Pause]", job: "Job") -> str:
    from infra.runtime.pausing import LOOP, told

    pause = stopped.get(job.name) or (stopped.get(LOOP) if job.learns else None)
    return "" if pause is None else told(pause)


def _operator() -> str:
    from ingest.access.audit import operator

    return operator()


def _note(connection: object, context: "Context", action: str, pause: "Pause") -> None:
    from sqlalchemy import Connection

    from ingest.access import audit

    assert isinstance(connection, Connection)
    detail = {"job": pause.subject, "reason": pause.reason}
    now = context.clock.now()
    audit.record(connection, audit.operator(), action, detail, project=context.settings.project, at=now)


def _ago(context: "Context", run: "Run") -> str:
    return f"{max(0.0, context.clock.now() - (run.ended_at or run.started_at)):.0f} s ago"


def _instant(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
