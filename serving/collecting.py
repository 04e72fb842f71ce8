"""Weights that nobody will serve again go; their rows stay, and say in the folder's place when and why."""

import json
import shutil
from pathlib import Path

import structlog

from infra.contracts import BASE_ADAPTER, AdapterRef, AdapterVersion
from infra.metrics import catalogue as metrics
from infra.models.lora import COLLECTED_FILE
from infra.runtime import Job, JobContext, JobOutcome
from serving.proving import PROVEN
from serving.repository import ServingRepository

log = structlog.get_logger()
DEADLINE_SECONDS = 900.0


def run_adapter_retention(job: JobContext) -> JobOutcome:
    """Remove the weights of adapters older than `retention.adapter_seconds` that `collectable` names."""
    age = job.settings.retention.adapter_seconds
    if age <= 0:
        return JobOutcome.skipped("adapters have no age limit (retention.adapter_seconds)")
    removed = freed = 0
    for adapter in collectable(job, job.clock.now() - age):
        if job.should_stop():
            break
        with job.database.transaction() as connection:
            job.confirm_lease(connection)
            if adapter.ref in protected(ServingRepository(connection, job.settings.project), job):
                continue  # wanted meanwhile
            freed += collect(Path(adapter.path), job.clock.now(), adapter)
        removed += 1
    metrics.RETENTION_REMOVED.labels("adapters").inc(removed)
    return JobOutcome.done(f"weights of {removed} adapters removed, {freed / 1e6:.0f} MB")


def collectable(job: JobContext, before: float) -> list[AdapterVersion]:
    """Adapters made before the instant that were refused, rejected or retired, are wanted by nobody, and still have
    their weights."""
    with job.database.reading() as connection:
        repository = ServingRepository(connection, job.settings.project)
        keep = protected(repository, job)
        found = repository.adapters_given_up(before)
    return [
        adapter
        for adapter in found
        if adapter.ref not in keep
        and Path(adapter.path).is_dir()
        and not (Path(adapter.path) / COLLECTED_FILE).exists()
    ]


def protected(repository: ServingRepository, job: JobContext) -> frozenset[AdapterRef]:
    """Champion and its predecessor, every arm of an experiment that has not ended, what is pinned, and what any replica
    has proven and not let go of."""
    champion, last_proven = repository.champion()
    proven = {row.adapter for row in repository.standing_proofs() if row.status in PROVEN}
    pinned = set(job.settings.serving.pinned_adapters)
    return frozenset({BASE_ADAPTER, champion, last_proven, *repository.arms_not_ended(), *pinned, *proven})


def collect(folder: Path, now: float, adapter: AdapterVersion) -> int:
    """Empty the folder but for a note; bytes that became free."""
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    note = {"collected_at": now, "adapter": adapter.ref, "state": adapter.state}
    (folder / COLLECTED_FILE).write_text(json.dumps(note))
    log.info("adapter_collected", adapter=adapter.ref, state=adapter.state, bytes=freed)
    return freed


ADAPTER_RETENTION_JOB = Job(
    name="adapter-retention",
    run=run_adapter_retention,
    every_seconds=lambda settings: settings.retention.every_seconds,
    deadline_seconds=DEADLINE_SECONDS,
)
