"""The job `retention`: rows and log records that are too old go, and files that an erasure left unclean are cleaned."""

from collections.abc import Callable

from infra.event_log.embedded.log import SqliteEventLog
from infra.metrics import catalogue as metrics
from infra.runtime import Context, Job, JobContext, JobOutcome
from infra.runtime.traced_log import inner_log
from ingest.access import audit
from ingest.erasure.service import finish_open
from ingest.retention_repository import AT_ONCE, RetentionRepository
from ingest.topics import feedback_topic, interactions_topic

RETENTION_DEADLINE_SECONDS = 3600.0

_Remove = Callable[[RetentionRepository, float], int]


def run_retention(job: JobContext) -> JobOutcome:
    """Remove what is older than its age in `retention.*`, in short transactions; then finish open erasures."""
    wanted = job.settings.retention
    now = job.clock.now()
    kinds: tuple[tuple[str, float, tuple[_Remove, ...]], ...] = (
        ("interactions", wanted.interaction_seconds, (RetentionRepository.interactions,)),
        ("texts", wanted.feedback_text_seconds, (RetentionRepository.texts,)),
        ("labels", wanted.label_seconds, (RetentionRepository.labels, RetentionRepository.pairs)),
        ("dead_letters", wanted.dead_letter_seconds, (RetentionRepository.dead_letters,)),
    )
    removed = {
        kind: sum(_removed(job, remove, now - age) for remove in removes) for kind, age, removes in kinds if age > 0
    }
    if wanted.log_record_seconds > 0:
        removed["log_records"] = trim_log(job.context, now - wanted.log_record_seconds)
    cleaned, still_open = finish_open(job.context)
    for kind, count in removed.items():
        metrics.RETENTION_REMOVED.labels(kind).inc(count)
    if any(removed.values()) or cleaned:
        _record(job, {**removed, "erasures_cleaned": cleaned}, now)
    if not removed and not cleaned and not still_open:
        return JobOutcome.skipped("nothing has an age limit (retention.*), and no erasure is open")
    said = [f"{count} {kind}" for kind, count in removed.items()] + [f"{cleaned} erasures cleaned"] * bool(cleaned)
    if still_open:
        said.append(f"{still_open} erasures still open: a file is read without a pause")
    return JobOutcome.done(", ".join(said) or "nothing was too old")


def trim_log(context: Context, before: float) -> int:
    """Delete records of the embedded log that were appended before the instant and that every consumer group has
    applied; returns how many. A partition that some group has never read is left alone, and so are erasures."""
    log = inner_log(context.event_log)
    if not isinstance(log, SqliteEventLog):
        return 0
    total = 0
    for topic in (feedback_topic(context.settings), interactions_topic(context.settings)):
        log.ensure_topic(topic)
        with context.database.reading() as connection:
            stored = RetentionRepository(connection, context.settings.project).offsets(topic, log.topic_identity(topic))
        own = stored.get(context.settings.ingest.consumer_group, {})
        groups = [*stored.values(), *log.committed(topic).values()]
        applied = {
            partition: min(group[partition] for group in groups if partition in group)
            for partition in range(log.partitions(topic))
            if partition in own
        }
        total += log.trim(topic, before, applied)
    return total


def _removed(job: JobContext, remove: _Remove, before: float) -> int:
    total = 0
    while not job.should_stop():
        with job.database.transaction() as connection:
            job.confirm_lease(connection)
            repository = RetentionRepository(connection, job.settings.project)
            repository.prepare()
            count = remove(repository, before)
        total += count
        if count < AT_ONCE:
            break
    return total


def _record(job: JobContext, detail: dict[str, int], now: float) -> None:
    with job.database.transaction() as connection:
        audit.record(connection, "job:retention", "retention.run", detail, project=job.settings.project, at=now)


RETENTION_JOB = Job(
    name="retention",
    run=run_retention,
    every_seconds=lambda settings: settings.retention.every_seconds,
    deadline_seconds=RETENTION_DEADLINE_SECONDS,
)
