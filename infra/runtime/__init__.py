"""What every process stands on: context, logging, health, shutdown, jobs and their scheduler."""

from infra.runtime.context import Context, StoreNotMigrated, open_context
from infra.runtime.health import Health, Readiness
from infra.runtime.job import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_TRY_LATER,
    Job,
    JobContext,
    JobOutcome,
    LeaseLost,
    TryLater,
)
from infra.runtime.logs import configure_logging
from infra.runtime.running import run_job
from infra.runtime.shutdown import Shutdown

__all__ = [
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_TRY_LATER",
    "Context",
    "Health",
    "Job",
    "JobContext",
    "JobOutcome",
    "LeaseLost",
    "Readiness",
    "Shutdown",
    "StoreNotMigrated",
    "TryLater",
    "configure_logging",
    "open_context",
    "run_job",
]
