"""Whether this store knows every erasure the log knows: after a restore it does not, until a consumer has run."""

from infra.db import Database
from infra.event_log import EventLog, UnknownTopic
from infra.settings import Settings
from ingest.erasure.message import erasures_topic
from ingest.log_repository import LogRepository


def unapplied(settings: Settings, database: Database, event_log: EventLog) -> int:
    """Records of the topic of erasures that this store has not applied. Makes nothing; blocks on store and log."""
    topic, group = erasures_topic(settings), settings.ingest.consumer_group
    try:
        identity = event_log.topic_identity(topic)
    except UnknownTopic:
        return 0  # nobody was ever erased
    consumer = event_log.consumer(topic, f"{group}-doctor")
    try:
        ends = consumer.end_offsets()
    finally:
        consumer.close()
    with database.reading() as connection:
        repository = LogRepository(connection)
        return sum(
            max(0, end - repository.next_offset(group, topic, identity, partition)) for partition, end in ends.items()
        )
