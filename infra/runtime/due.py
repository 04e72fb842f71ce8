"""What the store says about whether a job is due now: by its schedule, or before its time by evidence."""

from dataclasses import dataclass

import structlog

from infra.runtime.context import Context
from infra.runtime.fires import Due, GivenUp, Wait, next_step
from infra.runtime.fires_repository import newest_start, settle, settled_through, tries
from infra.runtime.job import LEASE_HEARTBEATS, Job

log = structlog.get_logger()


@dataclass(frozen=True)
class Found:
    """`run` now, as a run of `fire` or for `cause`; else the store need not be asked before `ask_at`, Unix seconds."""

    run: bool
    fire: float | None = None
    cause: str = ""
    ask_at: float = 0.0


class DueJobs:
    """Asks for one deployment; used by several threads, one at a time for each job."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._evidence_at: dict[str, float] = {}

    def look(self, job: Job) -> Found:
        """Whether to run `job` now. Fires that were tried often enough are settled on the way. Raises what the store
        raises."""
        context, now = self._context, self._context.clock.now()
        step = self._step(job, now)
        while isinstance(step, GivenUp):
            with context.database.transaction() as connection:
                settle(connection, context.settings.project, job.name, step.fire)
            log.error("job_fire_given_up", job=job.name, fire=step.fire, retries=job.retries)
            step = self._step(job, now)
        if isinstance(step, Due):
            return Found(True, step.fire)
        cause = self._evidence(job, now) if job.by_evidence else ""
        if cause:
            return Found(True, cause=cause)
        ask = min(step.until, self._evidence_at[job.name]) if job.by_evidence else step.until
        return Found(False, ask_at=ask)

    def _step(self, job: Job, now: float) -> Due | GivenUp | Wait:
        project, timing = self._context.settings.project, job.timing(self._context.settings)
        lease = LEASE_HEARTBEATS * self._context.settings.jobs.heartbeat_seconds
        with self._context.database.reading() as connection:
            settled = settled_through(connection, project, job.name)
            return next_step(
                timing, settled, lambda fire: tries(connection, project, job.name, fire, lease), job.retries, now
            )

    def _evidence(self, job: Job, now: float) -> str:
        """Why to run before its time, or "": asked every `jobs.evidence_every_seconds`, and not so soon after the last
        start, whatever came of it."""
        jobs = self._context.settings.jobs
        if now < self._evidence_at.get(job.name, 0.0):
            return ""
        self._evidence_at[job.name] = now + jobs.evidence_every_seconds
        with self._context.database.reading() as connection:
            started = newest_start(connection, self._context.settings.project, job.name)
        if started is not None and now < started + jobs.evidence_spacing_seconds:
            return ""
        return "" if job.waits_for is None or job.waits_for(self._context) is not None else "there is enough evidence"
