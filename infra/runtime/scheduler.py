"""The in-process scheduler: light jobs in threads, heavy ones in child processes, each at its own fires.

Several schedulers may run: a fire is run by one of them (see `fires`). A job never overlaps itself; whatever a run
does, the next one comes.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as FuturePool
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from infra.contracts import PlauditError, uuid7
from infra.metrics.catalogue import JOB_RUNNING, JOB_RUNS, SCHEDULER_HEARTBEAT
from infra.runtime import repository
from infra.runtime.children import ChildEnd, run_child
from infra.runtime.context import Context
from infra.runtime.due import DueJobs
from infra.runtime.fires import DEFER_SECONDS
from infra.runtime.job import EXIT_DONE, EXIT_FAILED, EXIT_TRY_LATER, Job, JobOutcome
from infra.runtime.pausing import why_paused
from infra.runtime.processes import process_name
from infra.runtime.running import run_job

log = structlog.get_logger()

FIRST_RUN_SECONDS = 1.0
"""How soon after the start a job that is due begins."""
TICK_SECONDS = 1.0
LEAST_TICK_SECONDS = 0.05
"""How often the clock is looked at; the store is asked only when something may be due."""
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


def default_child_command(job_name: str) -> list[str]:
    """The command line's own way to run one job here and now."""
    return [sys.executable, "-m", "plaudit", "jobs", "run", job_name]


def fire_arguments(fire: float | None, cause: str) -> list[str]:
    """What the command line of a child is told of the fire that it is a run of."""
    return [*(["--fire", repr(fire)] if fire is not None else []), *(["--cause", cause] if cause else [])]


class Scheduler:
    """Runs `jobs` until it is closed. One a process; several processes may have one, leases keep them apart."""

    def __init__(
        self,
        context: Context,
        jobs: Sequence[Job],
        *,
        child_command: Callable[[str], list[str]] = default_child_command,
    ) -> None:
        self._context = context
        self._jobs = {job.name: job for job in jobs}
        if len(self._jobs) != len(jobs):
            raise ValueError(f"job names must differ: {sorted(job.name for job in jobs)}")
        self._child_command = child_command
        self._stop = threading.Event()
        self._locks = {name: threading.Lock() for name in self._jobs}
        self._on_demand = FuturePool(max_workers=len(jobs) or 1, thread_name_prefix="job-now")
        self._beat_at = time.monotonic()
        self._due = DueJobs(context)
        self._ask_at: dict[str, float] = {}
        # It would say at each tick of a job's clock that the job still runs.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(len(jobs) + 1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Begin: what is due by the store begins at once, whichever process ran it last; then each at its time."""
        self._scheduler.add_job(
            self._heartbeat, IntervalTrigger(seconds=HEARTBEAT_SECONDS, timezone=UTC), next_run_time=datetime.now(UTC)
        )
        for job in self._jobs.values():
            timing = job.timing(self._context.settings)
            timing.after(self._context.clock.now())  # a cron expression that cannot be read shows now
            self._scheduler.add_job(
                self._tick,
                IntervalTrigger(seconds=min(max(timing.every / 10.0, LEAST_TICK_SECONDS), TICK_SECONDS), timezone=UTC),
                args=[job],
                id=job.name,
                next_run_time=datetime.now(UTC) + timedelta(seconds=min(FIRST_RUN_SECONDS, timing.every)),
            )
            log.info("job_scheduled", job=job.name, every_seconds=timing.every, cron=timing.cron, child=job.child)
        self._scheduler.start()

    def run_now(self, job: Job | str) -> "Future[int]":
        """Run a job outside its schedule, after the run in progress if there is one; the future gives its exit code."""
        chosen = self._jobs[job if isinstance(job, str) else job.name]
        return self._on_demand.submit(self._execute, chosen)

    def pause(self) -> None:
        """Start no scheduled run until `resume`; what runs goes on, and `run_now` still works."""
        self._scheduler.pause()

    def resume(self) -> None:
        self._scheduler.resume()

    def healthy(self) -> str | None:
        """None while the scheduler looks at its jobs; a readiness check."""
        age = time.monotonic() - self._beat_at
        return None if age < STALE_SECONDS else f"the scheduler has not looked at its jobs for {age:.0f} s; restart"

    def close(self) -> None:
        """Ask every run to end, end children that do not, and wait for them."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        self._on_demand.shutdown(wait=True, cancel_futures=True)

    def _tick(self, job: Job) -> None:
        """Look whether a fire of the job is due, or evidence is there, and run it; left out while one asked for by
        `run_now` is in progress."""
        if self._context.clock.now() < self._ask_at.get(job.name, 0.0):
            return
        if self._locks[job.name].locked():
            log.info("job_skipped_busy", job=job.name)
            return
        try:
            found = self._due.look(job)
        except Exception as error:  # the store is away, say: asked again soon
            log.warning("job_due_unknown", job=job.name, error=str(error), error_type=type(error).__name__)
            self._ask_at[job.name] = self._context.clock.now() + TICK_SECONDS
            return
        if not found.run:
            self._ask_at[job.name] = found.ask_at
        elif self._execute(job, found.fire, found.cause) == EXIT_TRY_LATER:
            # Its lease is taken, by a run of another cause perhaps: a child a second to find that out is too many.
            every = job.every_seconds(self._context.settings)
            self._ask_at[job.name] = self._context.clock.now() + min(every, DEFER_SECONDS)

    def _execute(self, job: Job, fire: float | None = None, cause: str = "") -> int:
        with self._locks[job.name]:
            if self._stop.is_set():
                return EXIT_FAILED
            JOB_RUNNING.labels(job_name=job.name).set(1)
            try:
                here = self._nothing_to_do(job) if job.child else job
                if here is not None:
                    return run_job(self._context, here, self._stop, fire=fire, cause=cause)
                return self._run_child(job, fire, cause)
            except Exception as error:  # the scheduler outlives whatever happens in a run
                log.exception("job_crashed", job=job.name)
                self._record_crash(job, fire, error)
                return EXIT_FAILED
            finally:
                JOB_RUNNING.labels(job_name=job.name).set(0)

    def _nothing_to_do(self, job: Job) -> Job | None:
        """The same job as a run that only writes down why it was skipped; None when a child has to look."""
        reason = why_paused(self._context, job)
        if reason is None and job.waits_for is not None:
            reason = job.waits_for(self._context)
        if reason is None:
            return None
        return replace(job, run=lambda _context: JobOutcome.skipped(reason), child=False)

    def _record_crash(self, job: Job, fire: float | None, error: Exception) -> None:
        """What failed before a run could write itself down stands in the history like any other failure."""
        project, now = self._context.settings.project, self._context.clock.now()
        detail = f"could not be started: {type(error).__name__}: {error}"
        try:
            with self._context.database.transaction() as connection:
                repository.record_failure(
                    connection, project, job.name, str(uuid7()), process_name(), detail, now, now, fire
                )
        except (SQLAlchemyError, PlauditError) as failure:
            log.error("job_end_not_written", job=job.name, error=str(failure).splitlines()[0])

    def _run_child(self, job: Job, fire: float | None, cause: str) -> int:
        settings, started_at = self._context.settings, self._context.clock.now()
        command = [*self._child_command(job.name), *fire_arguments(fire, cause)]
        end = run_child(settings, job.name, command, job.deadline_seconds, self._stop)
        status = self._record_end(job, end, started_at, fire)
        if status == "failed":
            log.error("child_failed", job=job.name, detail=end.detail)
        JOB_RUNS.labels(job_name=job.name, outcome=status).inc()
        return end.code if end.code >= 0 else EXIT_FAILED

    def _record_end(self, job: Job, end: ChildEnd, started_at: float, fire: float | None) -> str:
        """The status of the child's run: what it wrote itself, else `failed`, written here in its place."""
        project, now = self._context.settings.project, self._context.clock.now()
        with self._context.database.transaction() as connection:
            repository.fail_runs_of(connection, project, job.name, end.process, end.detail, now)
            run = repository.last_run_of(connection, project, job.name, end.process)
            if run is not None:
                return run.status
            if end.code in (EXIT_DONE, EXIT_TRY_LATER) or self._stop.is_set():
                return "deferred"  # its lease was taken, or we ended it before it began
            detail = f"{end.detail}, before it began; see logs/{job.name}.log in the data folder"
            repository.record_failure(
                connection, project, job.name, str(uuid7()), end.process, detail, started_at, now, fire
            )
            return "failed"

    def _heartbeat(self) -> None:
        self._beat_at = time.monotonic()
        SCHEDULER_HEARTBEAT.set_to_current_time()
