"""Run one job: take its lease, write its record, keep both alive, and end with an exit code.

A lease lives four heartbeats. A run that dies without a word is taken over when its lease expires, or at once when its
process is known to be gone; its record becomes `abandoned`.
"""

import threading
import time
import traceback
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from infra.contracts import uuid7
from infra.contracts.errors import PlauditError
from infra.metrics.catalogue import JOB_DURATION, JOB_RUNS, LEASE_LOST
from infra.runtime import repository
from infra.runtime.context import Context
from infra.runtime.fires_repository import settle, settled_through
from infra.runtime.job import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_TRY_LATER,
    LEASE_HEARTBEATS,
    Job,
    JobContext,
    JobOutcome,
    LeaseLost,
    TryLater,
)
from infra.runtime.pausing import why_paused
from infra.runtime.processes import SEPARATOR, process_name
from infra.settings import config_hash, resolved

log = structlog.get_logger()


@dataclass(frozen=True)
class _Ended:
    status: str
    detail: str
    exit_code: int


def run_job(
    context: Context, job: Job, stop: threading.Event | None = None, *, fire: float | None = None, cause: str = ""
) -> int:
    """Run `job` once, here. Returns 0 (done, or skipped with the reason), 1 (failed) or 75 (try later).

    `stop` asks the job to end soon. `fire`: the instant of its schedule that this is a run of; one that is settled
    already is not run again. `cause`: why it runs before its time, in words. Never raises but for KeyboardInterrupt and
    SystemExit, which it records.
    """
    started = time.perf_counter()
    run = _Running(context, job, stop or threading.Event(), fire, cause)
    try:
        if not run.begin():
            log.info("job_lease_taken", job=job.name)
            return EXIT_TRY_LATER
    except _Settled:
        log.info("job_fire_settled", job=job.name, fire=fire)
        return EXIT_DONE
    except (SQLAlchemyError, PlauditError) as error:
        log.error("job_not_started", job=job.name, error=str(error).splitlines()[0], error_type=type(error).__name__)
        return EXIT_TRY_LATER
    with structlog.contextvars.bound_contextvars(job=job.name, run_id=run.run_id):
        ended = run.finish(run.execute())
        JOB_RUNS.labels(job_name=job.name, outcome=ended.status).inc()
        JOB_DURATION.labels(job_name=job.name).observe(time.perf_counter() - started)
        log.info("job_ended", status=ended.status, detail=ended.detail, seconds=round(time.perf_counter() - started, 3))
    return ended.exit_code


class _Settled(Exception):
    """Another scheduler has settled this fire, or others that this one would pass over: look again."""


class _Running:
    """One run: its identity, its lease and its heartbeat."""

    def __init__(
        self, context: Context, job: Job, stop: threading.Event, fire: float | None = None, cause: str = ""
    ) -> None:
        self._fire = fire
        self._cause = cause
        self.run_id = str(uuid7())
        self._context = context
        self._job = job
        self._project = context.settings.project
        # The run is part of the name: two runs of one process are two holders.
        self._holder = SEPARATOR.join((process_name(), self.run_id[-12:]))
        self._stop = stop
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._deadline = time.monotonic() + job.deadline_seconds
        self._job_context = JobContext(
            context, self.run_id, stop=self._should_stop, confirm=self._confirm, complete=self._settle, fire=fire
        )
        self._heart = threading.Thread(target=self._heartbeat, name=f"heartbeat-{job.name}", daemon=True)

    def begin(self) -> bool:
        """Take the lease and write the record, in one transaction. False when another holder is alive. Raises _Settled:
        asked under the lease, so that of two schedulers one runs a fire."""
        settings, database, name = self._context.settings, self._context.database, self._job.name
        now = self._context.clock.now()
        configuration = config_hash(settings)
        with database.transaction() as connection:
            if not repository.take_lease(
                connection, database.dialect, self._project, name, self._holder, now, self._expiry(now)
            ):
                return False
            self._check_fire(connection)
            repository.record_config(connection, database.dialect, configuration, resolved(settings), now)
            repository.prune_runs(connection, self._project, name, now - settings.jobs.keep_runs_seconds)
            run = repository.NewRun(self.run_id, self._holder, configuration, self._fire, self._cause)
            repository.start_run(connection, self._project, name, run, now)
        self._heart.start()
        return True

    def execute(self) -> _Ended:
        """Call the job and translate how it ended."""
        try:
            paused = why_paused(self._context, self._job)
            outcome = JobOutcome.skipped(paused) if paused else self._job.run(self._job_context)
        except TryLater as later:
            return _Ended("deferred", str(later), EXIT_TRY_LATER)
        except PlauditError as error:
            log.error("job_failed", code=error.code, error=str(error), field=error.field)
            return _Ended("failed", f"{error.code}: {error}", EXIT_FAILED)
        except Exception as error:
            log.exception("job_failed", code="internal_error", error_type=type(error).__name__)
            place = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {error} ({place.filename.rsplit('/', 1)[-1]}:{place.lineno})"
            return _Ended("failed", detail, EXIT_FAILED)
        except BaseException as error:
            self.finish(_Ended("failed", f"interrupted: {type(error).__name__}", EXIT_FAILED))
            raise
        return _success(outcome)

    def finish(self, ended: _Ended) -> _Ended:
        """Write the end and give the lease back, in one transaction. A run taken over by another has failed."""
        self._ended.set()
        self._heart.join()
        database, now = self._context.database, self._context.clock.now()
        try:
            with database.transaction() as connection:
                # The lease before the run, as everybody locks them: else an end and a takeover wait for each other.
                repository.holds_lease(connection, self._project, self._job.name, self._holder)
                ours = repository.end_run(connection, self.run_id, ended.status, ended.detail, now)
                if ours and ended.exit_code == EXIT_DONE:
                    self._settle(connection)
                repository.release_lease(connection, self._project, self._job.name, self._holder)
        except (SQLAlchemyError, PlauditError) as error:
            log.error("job_end_not_written", error=str(error).splitlines()[0], error_type=type(error).__name__)
            return _Ended("failed", "the store did not take the end of the run", EXIT_FAILED)
        return ended if ours else _Ended("failed", "the lease was lost: another process took over", EXIT_FAILED)

    def _check_fire(self, connection: Connection) -> None:
        if self._fire is None:
            return
        settled = settled_through(connection, self._project, self._job.name)
        if settled is None:
            return
        timing = self._job.timing(self._context.settings)
        # Whoever decided on this fire may have done so before another scheduler settled one: then some lie between.
        passed_over = timing.catch_up == "all" and self._fire > timing.after(settled)
        if settled >= self._fire or passed_over:
            raise _Settled

    def _settle(self, connection: Connection) -> None:
        if self._fire is not None:
            settle(connection, self._project, self._job.name, self._fire)

    def _expiry(self, now: float) -> float:
        return now + LEASE_HEARTBEATS * self._context.settings.jobs.heartbeat_seconds

    def _should_stop(self) -> bool:
        return self._stop.is_set() or self._lost.is_set() or time.monotonic() > self._deadline

    def _confirm(self, connection: Connection) -> None:
        if not repository.holds_lease(connection, self._project, self._job.name, self._holder):
            self._lost.set()
            raise LeaseLost(
                f"job {self._job.name}: another process has taken it over; nothing of this run is committed"
            )

    def _heartbeat(self) -> None:
        """Renew the lease every heartbeat; write progress about once a second when it has changed."""
        every = self._context.settings.jobs.heartbeat_seconds
        renewed, written = time.monotonic(), self._job_context.latest_progress()
        while not self._ended.wait(min(every, 1.0)):
            progress = self._job_context.latest_progress()
            due = time.monotonic() - renewed >= every * 0.9
            if not due and progress == written:
                continue
            try:
                self._beat(progress)
            except (SQLAlchemyError, PlauditError) as error:
                # The store is busy or away: the lease outlives three such failures.
                log.warning("job_heartbeat_failed", job=self._job.name, error=str(error).splitlines()[0])
                continue
            renewed, written = time.monotonic(), progress

    def _beat(self, progress: tuple[float, str]) -> None:
        now = self._context.clock.now()
        with self._context.database.transaction() as connection:
            held = repository.renew_lease(connection, self._project, self._job.name, self._holder, self._expiry(now))
            repository.beat(connection, self.run_id, *progress, now)
        if not held and not self._lost.is_set():
            self._lost.set()
            LEASE_LOST.labels(job_name=self._job.name).inc()
            log.error("job_lease_lost", job=self._job.name, run_id=self.run_id)


def _success(outcome: JobOutcome) -> _Ended:
    return _Ended(outcome.status, outcome.detail, EXIT_DONE)
