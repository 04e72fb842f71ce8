"""All jobs of the system, declared once: for the scheduler of `plaudit up`, `plaudit jobs`, and deployments."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from infra.contracts import PlauditError

if TYPE_CHECKING:
    from infra.registry import RegisteredRow
    from infra.runtime import Job, JobContext, JobOutcome

PROJECTED = "registry-projection.sha256"
"""File in the data folder: digest of the rows that the registry was last made to agree with."""


class UnknownJob(PlauditError):
    """There is no job of that name."""

    code = "unknown_job"
    status = 404


def all_jobs() -> "tuple[Job, ...]":
    """Every declared job, in the order of the loop."""
    import ab_testing.jobs
    import ingest.jobs
    import ingest.trust.jobs
    import policy_update.jobs
    import reward_model.jobs
    import serving.jobs

    rooms = (ingest.jobs, ingest.trust.jobs, reward_model.jobs, policy_update.jobs, ab_testing.jobs, serving.jobs)
    return (*(job for room in rooms for job in room.JOBS), registry_job())


def job_named(name: str) -> "Job":
    """The job called `name`. Raises UnknownJob, which lists the names."""
    jobs = {job.name: job for job in all_jobs()}
    if name not in jobs:
        raise UnknownJob(f"there is no job {name!r}; the jobs are {', '.join(sorted(jobs))}", field="name")
    return jobs[name]


def registry_job() -> "Job":
    """Reconciles MLflow's versions and aliases with the store. Truth is the store: this may fail without harm."""
    from infra.runtime import Job

    return Job(
        name="registry",
        run=_project_registry,
        every_seconds=lambda settings: settings.jobs.registry_every_seconds,
        deadline_seconds=300.0,
        child=False,
    )


def _project_registry(context: "JobContext") -> "JobOutcome":
    from infra.registry import Registry, RegistryUnavailable, reconcile
    from infra.runtime import JobOutcome, TryLater
    from plaudit.repository import rows_for_registry

    with context.database.reading() as connection:
        rows = rows_for_registry(connection, context.settings.project)
    if not rows:
        return JobOutcome.skipped("no adapter or reward model has been trained yet")
    registry = Registry.open(context.settings, context.clock)
    # MLflow costs seconds and memory to import: this process pays only when there is something to tell it.
    marker, digest = context.settings.data_dir / PROJECTED, digest_of(rows, registry.tracking_uri)
    if registry.exists() and marker.exists() and marker.read_text() == digest:
        return JobOutcome.skipped("the registry says what the store says")
    try:
        changes = reconcile(registry, rows)
    except RegistryUnavailable as error:
        raise TryLater(error.message) from error
    finally:
        registry.close()
    marker.write_text(digest)
    return JobOutcome.done(f"{len(rows)} versions filed, {len(changes)} aliases moved")


def digest_of(rows: "Sequence[RegisteredRow]", tracking_uri: str) -> str:
    """SHA-256 that changes with any row, alias or the registry's place, whatever the order of the rows."""
    document = sorted(json.dumps(asdict(row), sort_keys=True) for row in rows)
    return hashlib.sha256("\n".join([tracking_uri, *document]).encode()).hexdigest()
