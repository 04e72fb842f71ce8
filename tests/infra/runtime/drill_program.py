"""A scheduler of one job, in a process to be killed: python -m tests.infra.runtime.drill_program DATA_DIR EVERY.

Each fire of the job leaves one row in the table `drill_effects`, in the transaction that completes the fire; before,
inside and after it the job lingers, so that a kill falls anywhere.
"""

import random
import sys
import time
from pathlib import Path

from sqlalchemy import text

from infra.runtime import Job, JobContext, JobOutcome, Shutdown, open_context
from infra.runtime.scheduler import Scheduler
from infra.settings import Settings
from infra.settings.infrastructure import JobSettings

LINGER_SECONDS = 0.015


def drill(job: JobContext) -> JobOutcome:
    """One effect a fire."""
    _linger()
    with job.database.transaction() as connection:
        job.complete(connection)
        statement = text("INSERT INTO drill_effects (fire, run_id) VALUES (:fire, :run_id)")
        connection.execute(statement, {"fire": job.fire, "run_id": job.run_id})
        _linger()
    _linger()
    return JobOutcome.done()


def drill_job(every: float) -> Job:
    """Every fire counts, and none is given up."""
    return Job("drill", drill, lambda _: every, 30.0, retries=1000, catch_up="all")


def drill_settings(data_dir: Path) -> Settings:
    """Leases of 0.4 s."""
    return Settings(data_dir=data_dir, jobs=JobSettings(heartbeat_seconds=0.1))


def _linger() -> None:
    time.sleep(random.random() * LINGER_SECONDS)


def main(data_dir: str, every: str) -> None:
    """Until it is told to stop, or killed."""
    shutdown = Shutdown()
    shutdown.install()
    context = open_context(drill_settings(Path(data_dir)))
    scheduler = Scheduler(context, [drill_job(float(every))])
    scheduler.start()
    shutdown.stop.wait()
    scheduler.close()
    context.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
