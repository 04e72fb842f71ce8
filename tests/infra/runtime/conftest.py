from collections.abc import Iterator

import pytest

from infra.contracts import ManualClock
from infra.db import Database
from infra.event_log import EventLog
from infra.runtime import Context, open_context
from infra.settings import Settings


@pytest.fixture
def fast(settings: Settings) -> Settings:
    """Settings with a heartbeat of 0.1 s: a lease lives 0.4 s."""
    return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"heartbeat_seconds": 0.1})})


@pytest.fixture
def context(fast: Settings, clock: ManualClock, database: Database, event_log: EventLog) -> Context:
    """On SQLite, then on PostgreSQL, with a clock moved by hand."""
    return Context(fast, clock, database, event_log)


@pytest.fixture
def embedded(fast: Settings) -> Iterator[Context]:
    """Everything in the test's own data folder, with the machine's clock: what other processes can open too."""
    opened = open_context(fast)
    yield opened
    opened.close()
