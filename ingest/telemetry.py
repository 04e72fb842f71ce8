"""Gauges of ingest that are read from the store: true whichever process consumed, labelled or died."""

from infra.contracts.ids import uuid7_bound
from infra.metrics import catalogue as metrics
from infra.metrics.showing import show
from infra.runtime import Context
from ingest.erasure.message import erasures_topic
from ingest.telemetry_repository import TelemetryRepository
from ingest.topics import feedback_topic, interactions_topic

ATTRIBUTED_EVENTS = 2000
"""Newest events among which those without an answer are counted."""
SETTLED_SECONDS = 60.0
"""An event so young may still be waiting for its interaction."""
RECENT_SECONDS = 3600.0
MOST_OVERDUE = 100_000
"""Overdue labels are counted up to here."""


def refresh_ingest_metrics(context: Context) -> None:
    """Bring them up to date; a `before_scrape` of the operations routes."""
    settings, now, log = context.settings, context.clock.now(), context.event_log
    named = {
        "feedback": feedback_topic(settings),
        "interactions": interactions_topic(settings),
        "erasures": erasures_topic(settings),
    }
    for topic in named.values():
        log.ensure_topic(topic)
    topics = {kind: (topic, log.topic_identity(topic), log.partitions(topic)) for kind, topic in named.items()}
    first, last = uuid7_bound(now - RECENT_SECONDS), uuid7_bound(now - SETTLED_SECONDS)
    closed_before = now - settings.ingest.allowed_lateness_seconds
    with context.database.reading() as connection:
        repository = TelemetryRepository(connection, settings.project)
        for kind, place in topics.items():
            applied = repository.applied_through(settings.ingest.consumer_group, *place)
            metrics.INGEST_APPLIED_THROUGH.labels(kind=kind).set(applied or 0.0)
        show(metrics.INGEST_OPEN_LETTERS, {(reason,): n for reason, n in repository.open_letters().items()})
        overdue = repository.overdue(closed_before, MOST_OVERDUE)
        newest = repository.newest_final()
        events, unknown = repository.unattributed(first, last, ATTRIBUTED_EVENTS)
    metrics.LABELS_OVERDUE.set(overdue.labels)
    metrics.LABEL_LAG.set(0.0 if overdue.oldest is None else closed_before - overdue.oldest)
    metrics.LABEL_NEWEST.set(newest or 0.0)
    metrics.INGEST_UNATTRIBUTED.set(unknown / events if events else 0.0)
