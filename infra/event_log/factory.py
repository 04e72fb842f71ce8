"""Opens the event log that the settings name."""

from pathlib import Path

from infra.contracts.clock import Clock
from infra.event_log.port import EventLog
from infra.settings.root import Settings


def open_event_log(settings: Settings, clock: Clock) -> EventLog:
    """The embedded log in the data folder, or Kafka, each with a spool in that folder.

    Each adapter is imported only when it is asked for.

    Raises EventLogUnavailable when the log cannot be reached, EventLogFileError when the file is no log of ours.
    """
    if not settings.event_log.spool_limit_bytes:
        return open_inner_log(settings, clock)
    apart = settings if settings.event_log.spool_process else None
    if settings.event_log.kind == "kafka":
        from infra.event_log.spooling.log import SpoolingEventLog

        return SpoolingEventLog(open_inner_log(settings, clock), spool_folder(settings), settings.event_log, apart)
    from infra.event_log.embedded.keeping import KeepingEventLog

    return KeepingEventLog(_embedded(settings), spool_folder(settings), settings.event_log, clock, apart)


def open_inner_log(settings: Settings, clock: Clock) -> EventLog:
    """The same without a spool."""
    if settings.event_log.kind == "kafka":
        from infra.event_log.kafka.log import KafkaEventLog

        return KafkaEventLog(settings.event_log, clock)
    from infra.event_log.embedded.log import SqliteEventLog

    return SqliteEventLog(_embedded(settings), settings.event_log, clock)


def spool_folder(settings: Settings) -> Path:
    """Where spools are, of all processes that have this data folder."""
    return settings.data_dir / "spool"


def _embedded(settings: Settings) -> Path:
    return settings.data_dir / "log.sqlite3"
