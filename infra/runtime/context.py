"""What every process of Plaudit stands on: settings, clock, store and event log, opened once."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from infra.contracts.clock import Clock, SystemClock
from infra.contracts.errors import PlauditError
from infra.db import Database, current_revision, migrate, newest_revision
from infra.event_log.port import EventLog
from infra.metrics import catalogue
from infra.runtime.processes import process_started_at
from infra.settings import Settings, config_hash

UNFINISHED_RESTORE = "restore-unfinished"
"""File in the data folder while `plaudit restore` has not ended."""


class RestoreUnfinished(PlauditError):
    """A restore into this data folder was begun and has not ended."""

    code = "restore_unfinished"
    status = 503


class StoreNotMigrated(PlauditError):
    """The store's schema is not the one this version of the code needs."""

    code = "store_not_migrated"
    status = 503


@dataclass(frozen=True)
class Context:
    """The parts that are handed down, never looked up. Safe to share between threads."""

    settings: Settings
    clock: Clock
    database: Database
    event_log: EventLog

    def close(self) -> None:
        """Flush the event log, then close everything."""
        try:
            self.event_log.close()
        finally:
            self.database.close()
            if self.settings.tracing.enabled:
                from infra.runtime.tracing import stop_tracing

                stop_tracing()


def open_context(settings: Settings, clock: Clock | None = None) -> Context:
    """Open the parts that `settings` name.

    The embedded store (no `store.url`) is migrated on the way. A store that others share is not: raises
    StoreNotMigrated when its schema is older or newer than this code. Raises RestoreUnfinished.
    """
    from infra.event_log import open_event_log  # brings a Kafka client or not, as settings say

    if (settings.data_dir / UNFINISHED_RESTORE).exists():
        raise RestoreUnfinished(
            f"a restore into {settings.data_dir} is not finished: wait for it, or run `plaudit restore` again",
            field="data_dir",
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    revision = current_revision(settings.store_url)
    if revision != newest_revision():
        if settings.store.url:
            raise StoreNotMigrated(
                f"the store is at revision {revision or 'none'}, this version needs {newest_revision()}; "
                "run `plaudit migrate` once, before the services start",
                field="store.url",
            )
        migrate(settings.store_url)
    clock = clock or SystemClock()
    _show_process(settings)
    return Context(settings, clock, Database.open(settings.store_url), _traced(open_event_log, settings, clock))


def _show_process(settings: Settings) -> None:
    """What runs here, since when, under which settings, as gauges."""
    from importlib import metadata

    catalogue.BUILD_INFO.clear()
    catalogue.BUILD_INFO.labels(version=metadata.version("plaudit"), config_hash=config_hash(settings)).set(1)
    catalogue.PROCESS_START.set(process_started_at())


def _traced(opened: Callable[[Settings, Clock], EventLog], settings: Settings, clock: Clock) -> EventLog:
    """The log that `opened` gives; with traces where they are asked for."""
    if not settings.tracing.enabled:
        return opened(settings, clock)
    from infra.runtime.traced_log import traced_log
    from infra.runtime.tracing import configure_tracing

    words = [word for word in sys.argv[1:3] if not word.startswith("-")]
    configure_tracing(settings, "-".join(words))
    return traced_log(opened(settings, clock), settings, clock)
