"""Opens the event log that the settings name."""

from infra.contracts.clock import Clock
from infra.event_log.port import EventLog
from infra.settings.root import Settings


def open_event_log(settings: Settings, clock: Clock) -> EventLog:
    """The embedded log in the data folder, or Kafka, each with a spool in that folder.

    Each adapter is imported only when it is asked for.

    Raises EventLogUnavailable when the log cannot be reached, EventLogFileError when the file is no log of ours.
    """
    if settings.event_log.kind == "kafka":
        from infra.event_log.kafka.log import KafkaEventLog

        kafka = KafkaEventLog(settings.event_log, clock)
        if not settings.event_log.spool_limit_bytes:
            return kafka
        from infra.event_log.spooling.log import SpoolingEventLog

        return SpoolingEventLog(kafka, settings.data_dir / "spool", settings.event_log)
    path = settings.data_dir / "log.sqlite3"
    if not settings.event_log.spool_limit_bytes:
        from infra.event_log.embedded.log import SqliteEventLog

        return SqliteEventLog(path, settings.event_log, clock)
    from infra.event_log.embedded.keeping import KeepingEventLog

    return KeepingEventLog(path, settings.data_dir / "spool", settings.event_log, clock)
