"""What the store says about jobs, as gauges: a job may be a process that ends before anybody scrapes it, so a
long-lived one reads the rows."""

from collections.abc import Iterable

from infra.metrics import catalogue as metrics
from infra.runtime import repository
from infra.runtime.context import Context
from infra.runtime.job import Job
from infra.runtime.pauses_repository import pauses_of
from infra.runtime.pausing import LOOP

OUTCOMES = ("done", "skipped", "deferred", "failed", "abandoned")
"""How a run may have ended."""


def refresh_job_metrics(context: Context, jobs: Iterable[Job] = ()) -> None:
    """Bring the gauges of jobs up to date; a `before_scrape` of the operations routes. `jobs`: those declared here,
    which have gauges before they have ever run."""
    project = context.settings.project
    declared = {job.name: job for job in jobs}
    with context.database.reading() as connection:
        names = declared.keys() | repository.known_jobs(connection, project)
        standings = {name: repository.standing(connection, project, name) for name in sorted(names)}
        stopped = pauses_of(connection, project)
    for job in declared.values():
        metrics.JOB_DEADLINE.labels(job_name=job.name).set(job.deadline_seconds)
        interval = job.timing(context.settings).typical_interval(context.clock.now())
        metrics.JOB_INTERVAL.labels(job_name=job.name).set(interval)
        halted = job.name in stopped or (job.learns and LOOP in stopped)
        metrics.JOB_PAUSED.labels(job_name=job.name).set(halted)
    for name, standing in standings.items():
        _show(name, standing)


def _show(name: str, standing: repository.Standing) -> None:
    if standing.last_success is not None:
        metrics.JOB_LAST_SUCCESS.labels(job_name=name).set(standing.last_success)
    running = standing.running
    metrics.JOB_PROGRESS.labels(job_name=name).set(float(running.progress.get("fraction", 0.0)) if running else 0.0)
    metrics.JOB_RUNNING_SINCE.labels(job_name=name).set(running.started_at if running else 0.0)
    metrics.JOB_FAILED_RUNS.labels(job_name=name).set(standing.failed)
    ended = standing.ended
    for outcome in OUTCOMES:
        metrics.JOB_LAST_OUTCOME.labels(job_name=name, outcome=outcome).set(
            ended is not None and ended.status == outcome
        )
    if ended is not None and ended.ended_at is not None:
        metrics.JOB_LAST_DURATION.labels(job_name=name).set(ended.ended_at - ended.started_at)
