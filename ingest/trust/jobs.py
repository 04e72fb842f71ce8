"""The trust job: how far each voter is believed, estimated anew."""

from collections.abc import Iterable

from sqlalchemy import Connection

from infra.metrics import catalogue as metrics
from infra.runtime import Context, Job, JobContext, JobOutcome
from ingest.erasure.repository import TombstoneRepository
from ingest.erasure.tombstones import person_digest
from ingest.log_repository import LogRepository
from ingest.topics import feedback_topic, interactions_topic
from ingest.trust.records import PersonTrust, too_few
from ingest.trust.repository import TrustRepository

TRUST_DEADLINE_SECONDS = 1800.0
REPORT_DAYS = 7.0
NEVER_READ = "some partition of the log was never read; start `plaudit ingest consume`"


def run_trust(job: JobContext) -> JobOutcome:
    """Estimate trust from the ledger up to shortly before the watermark and append what is new.

    The estimate itself runs outside a transaction: nothing waits for it.
    """
    from ingest.trust.service import TooFewVotes, make, read, report

    settings, project = job.settings.trust, job.settings.project
    watermark = _watermark(job.context)
    if watermark is None:
        return JobOutcome.skipped(NEVER_READ)
    until = watermark - settings.settle_seconds
    with job.database.reading() as connection:
        try:
            named = read(connection, project, settings, until)
        except TooFewVotes as error:
            return JobOutcome.skipped(error.message)
        known = TrustRepository(connection, project).newest()
    job.progress(0.2, f"{len(named.evidence.person)} opinions of {len(named.people)} people")
    outcome = make(named, known, settings, until, job.clock.now())
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        repository = TrustRepository(connection, project)
        written = repository.append(without_erased(connection, project, outcome.versions, until))
        since = until - REPORT_DAYS * 86400.0
        told = report(connection, project, settings, since, until)
    found = outcome.estimate
    return JobOutcome.done(
        f"{len(named.people)} people, {len(named.evidence.person)} opinions, {len(found.tastes)} tastes:"
        f" {written} new versions, {int(found.quarantined.sum())} in quarantine,"
        f" {told.weighted.effective:.0f} effective teachers in {REPORT_DAYS:g} days"
    )


def without_erased(
    connection: Connection, project: str, versions: Iterable[PersonTrust], since: float
) -> list[PersonTrust]:
    """Versions of people who were not erased while the estimate ran: since the ledger's instant `since`."""
    gone = TombstoneRepository(connection, project).people(since)
    return [one for one in versions if person_digest(project, one.user_key) not in gone] if gone else list(versions)


def waits_for(context: Context) -> str | None:
    """Why there is nothing to estimate yet, said without the imports of the job itself."""
    from ingest.trust.votes_repository import VotesRepository

    watermark = _watermark(context)
    if watermark is None:
        return NEVER_READ
    settings = context.settings.trust
    until = watermark - settings.settle_seconds
    with context.database.reading() as connection:
        votes = VotesRepository(connection, context.settings.project)
        found = votes.enough(until - settings.evidence_seconds, until, settings.min_votes)
    missing = settings.min_votes - found
    return too_few(missing) if missing > 0 else None


def refresh_trust_metrics(context: Context) -> None:
    """Bring the gauges of trust up to date from the store, since the job runs in a process of its own: a
    `before_scrape` of the operations routes."""
    import numpy as np

    from ingest.trust.concentration import concentration

    with context.database.reading() as connection:
        masses, quarantined = TrustRepository(connection, context.settings.project).masses()
    found = concentration(np.array(masses, np.float64))
    metrics.TRUST_EFFECTIVE_PEOPLE.set(found.effective)
    metrics.TRUST_TOP_SHARE.set(found.top_share)
    metrics.TRUST_QUARANTINED.set(quarantined)


def _watermark(context: Context) -> float | None:
    log, topics = context.event_log, {}
    for topic in (feedback_topic(context.settings), interactions_topic(context.settings)):
        log.ensure_topic(topic)
        topics[topic] = (log.topic_identity(topic), log.partitions(topic))
    with context.database.reading() as connection:
        return LogRepository(connection).watermark(context.settings.ingest.consumer_group, topics)


JOBS: tuple[Job, ...] = (
    Job(
        name="trust",
        run=run_trust,
        every_seconds=lambda settings: settings.jobs.trust_every_seconds,
        deadline_seconds=TRUST_DEADLINE_SECONDS,
        child=True,
        waits_for=waits_for,
    ),
)
