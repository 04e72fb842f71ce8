"""What the tests of this room share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from infra.contracts import ManualClock

if TYPE_CHECKING:
    from infra.db import Database
    from infra.event_log import EventLog
    from infra.runtime import Context
    from infra.settings import Settings
    from ingest.consumer import FeedbackConsumer


@pytest.fixture
def context(settings: "Settings", clock: ManualClock, database: "Database", event_log: "EventLog") -> "Context":
    """Embedded log, and each store in turn."""
    from infra.runtime import Context

    return Context(settings, clock, database, event_log)


@pytest.fixture
def sqlite_context(
    settings: "Settings", clock: ManualClock, sqlite_database: "Database", event_log: "EventLog"
) -> "Context":
    """Embedded log and SQLite."""
    from infra.runtime import Context

    return Context(settings, clock, sqlite_database, event_log)


@pytest.fixture
def consumer(context: "Context") -> "Iterator[FeedbackConsumer]":
    """A consumer on `context`."""
    from ingest.consumer import FeedbackConsumer

    consumer = FeedbackConsumer(context)
    yield consumer
    consumer.close()
