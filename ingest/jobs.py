"""The label job: closes windows and remakes labels after late events."""

from infra.metrics import catalogue as metrics
from infra.runtime import Job, JobContext, JobOutcome
from ingest.closing import Closing, close
from ingest.dwell.jobs import DWELL_JOB
from ingest.evidence import standing_evidence
from ingest.log_repository import LogRepository
from ingest.repository import FeedbackRepository
from ingest.retention import RETENTION_JOB
from ingest.selection.jobs import SELECTION_JOB
from ingest.specification.versions import Specifications
from ingest.topics import feedback_topic, interactions_topic
from ingest.validity.jobs import VALIDITY_JOB
from ingest.validity.repository import ValidityRepository
from ingest.validity.verdicts import refusals

LABEL_DEADLINE_SECONDS = 900.0


def run_label(job: JobContext) -> JobOutcome:
    """Make every provisional label final whose window closed before watermark - allowed lateness.

    The watermark, not the clock, says that nothing older is still on its way: while the consumer is down or behind, no
    silence is taken for an answer.
    """
    settings = job.settings
    watermark = _watermark(job)
    if watermark is None:
        return JobOutcome.skipped("some partition of the log was never read; start `plaudit ingest consume`")
    closed_before = min(watermark, job.clock.now()) - settings.ingest.allowed_lateness_seconds
    specifications = Specifications.of(settings.ingest)
    closed = versions = 0
    while not job.should_stop():
        due, made = _close_some(job, specifications, closed_before)
        closed, versions = closed + due, versions + made
        metrics.INGEST_LABELS.labels("final").inc(made)
        job.progress(0.5 if due else 1.0, f"{closed} windows closed")
        if due < settings.ingest.label_batch:
            break
    return JobOutcome.done(f"{closed} windows closed, {versions} final labels written{_refused(job, specifications)}")


def _refused(job: JobContext, specifications: Specifications) -> str:
    """Which objectives weigh 0 for want of evidence, for whoever reads the record of the run."""
    with job.database.reading() as connection:
        verdicts = ValidityRepository(connection, job.settings.project).newest()
    refused = refusals(specifications.in_force.objectives, verdicts)
    return f"; without evidence or override, so at weight 0: {', '.join(refused)}" if refused else ""


def _close_some(job: JobContext, specifications: Specifications, closed_before: float) -> tuple[int, int]:
    """(windows closed, final labels written) in one transaction."""
    settings = job.settings
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        now = job.clock.now()
        due = FeedbackRepository(connection, settings.project).due(closed_before, settings.ingest.label_batch)
        if not due:
            return 0, 0
        specifications.record(connection, settings.project, now)
        evidence = standing_evidence(connection, settings, specifications.in_force)
        closing = Closing(specifications.in_force, now, closed_before, evidence, specifications.candidate)
        return len(due), close(connection, settings.project, due, closing)


def _watermark(job: JobContext) -> float | None:
    log = job.context.event_log
    topics: dict[str, tuple[str, int]] = {}
    for topic in (feedback_topic(job.settings), interactions_topic(job.settings)):
        log.ensure_topic(topic)
        topics[topic] = (log.topic_identity(topic), log.partitions(topic))
    with job.database.reading() as connection:
        return LogRepository(connection).watermark(job.settings.ingest.consumer_group, topics)


JOBS: tuple[Job, ...] = (
    Job(
        name="label",
        run=run_label,
        every_seconds=lambda settings: settings.jobs.label_every_seconds,
        deadline_seconds=LABEL_DEADLINE_SECONDS,
    ),
    DWELL_JOB,
    SELECTION_JOB,
    VALIDITY_JOB,
    RETENTION_JOB,
)
