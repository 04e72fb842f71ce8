"""What the store says about jobs, as gauges: children count in their own process, so the parent reads their rows."""

from infra.metrics.catalogue import JOB_LAST_SUCCESS, JOB_PROGRESS
from infra.runtime import repository
from infra.runtime.context import Context


def refresh_job_metrics(context: Context) -> None:
    """Bring the gauges of jobs up to date; a `before_scrape` of the operations routes."""
    with context.database.reading() as connection:
        successes = repository.last_success(connection, context.settings.project)
        running = repository.running_progress(connection, context.settings.project)
    for job, ended_at in successes.items():
        JOB_LAST_SUCCESS.labels(job=job).set(ended_at)
    for job in successes.keys() | running.keys():
        JOB_PROGRESS.labels(job=job).set(running.get(job, 0.0))
