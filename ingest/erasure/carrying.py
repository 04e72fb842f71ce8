"""Erasures carried from one store to another: out of one that lives, into one restored from an older backup.

They travel in the form they have on the topic of erasures, and are learned as the consumer learns them.
"""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from infra.event_log import Consumer, EventLog, StoredRecord, UnknownTopic
from infra.settings import Settings
from ingest.erasure.artefacts_repository import ArtefactRepository
from ingest.erasure.handler import ERASURE_HANDLER
from ingest.erasure.message import ErasureMessage, erasures_topic, records
from ingest.erasure.repository import ErasureRepository, TombstoneRepository, projects_with_erasures
from ingest.labels import Labelling

_AT_ONCE = 500


def erasures_of(connection: Connection) -> list[ErasureMessage]:
    """Every erasure a store knows, of all its projects."""
    return [message for project in projects_with_erasures(connection) for message in _of(connection, project)]


def known_erasures(connection: Connection) -> set[str]:
    """The ids of every erasure a store knows."""
    projects = projects_with_erasures(connection)
    return {made for project in projects for made, _ in ErasureRepository(connection, project).made()}


def logged_erasures(event_log: EventLog, settings: Settings) -> Iterator[StoredRecord]:
    """Every record of the topic of erasures, whoever has read it before. Blocks on the log."""
    topic = erasures_topic(settings)
    try:
        event_log.partitions(topic)
    except UnknownTopic:
        return  # nobody was ever erased
    consumer = event_log.consumer(topic, f"{settings.ingest.consumer_group}-restore")
    try:
        yield from _from_the_start(consumer)
    finally:
        consumer.close()


def publish(event_log: EventLog, settings: Settings, messages: Iterable[ErasureMessage]) -> None:
    """Append erasures to the topic, durably: whoever fills a store from this log learns of them. Raises
    EventLogUnavailable."""
    topic = erasures_topic(settings)
    event_log.ensure_topic(topic)
    for message in messages:
        event_log.append(topic, records(message)).result(settings.event_log.append_timeout_seconds + 1)


def learn(connection: Connection, found: Iterable[StoredRecord], settings: Settings, now: float) -> int:
    """Erase, in the caller's transaction, what these records say and the store does not know; how many were new."""
    labelling = Labelling.of(settings.ingest)
    return sum(ERASURE_HANDLER.apply(connection, [record], labelling, now).new for record in found)


def as_records(messages: Iterable[ErasureMessage]) -> Iterator[StoredRecord]:
    """Messages as if they had been read from the log."""
    for message in messages:
        for record in records(message):
            yield StoredRecord("", 0, 0, message.erased_at, record.key, record.value)


def _of(connection: Connection, project: str) -> Iterator[ErasureMessage]:
    tombstones, artefacts = TombstoneRepository(connection, project), ArtefactRepository(connection, project)
    for erasure_id, erased_at in ErasureRepository(connection, project).made():
        yield ErasureMessage(
            erasure_id=erasure_id,
            project=project,
            erased_at=erased_at,
            people=tombstones.digests_of(erasure_id),
            events=tombstones.ids_of("event", erasure_id),
            responses=tombstones.ids_of("response", erasure_id),
            tainted=artefacts.marked_by(erasure_id),
        )


def _from_the_start(consumer: Consumer) -> Iterator[StoredRecord]:
    ends = {partition: end for partition, end in consumer.end_offsets().items() if end > 0}
    at = dict.fromkeys(ends, 0)
    while any(at[partition] < end for partition, end in ends.items()):
        found = consumer.poll(_AT_ONCE, 0.2)
        for partition in consumer.newly_assigned():
            consumer.seek(partition, at.get(partition, 0))
        yield from found
        for record in found:
            at[record.partition] = record.offset + 1
