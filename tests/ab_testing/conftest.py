"""`world`: a fresh store, SQLite then PostgreSQL; `small_world`: SQLite alone."""

import pytest

from infra.contracts import ManualClock
from infra.db import Database
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import World, quick


@pytest.fixture
def world(settings: Settings, clock: ManualClock, database: Database, event_log: EventLog) -> World:
    return World(quick(settings), clock, database, event_log)


@pytest.fixture
def small_world(settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog) -> World:
    return World(quick(settings), clock, sqlite_database, event_log)
