"""The room's jobs."""

from infra.runtime import Job
from serving.collecting import ADAPTER_RETENTION_JOB

JOBS: tuple[Job, ...] = (ADAPTER_RETENTION_JOB,)
