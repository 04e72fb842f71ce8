"""A deployment with a town in it, and how a backup of it becomes another one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.contracts import ManualClock
from infra.settings.infrastructure import StoreSettings

if TYPE_CHECKING:
    from infra.db import Database
    from infra.event_log import EventLog
    from infra.runtime import Context
    from infra.settings import Settings

Moved = Callable[[Path], "Settings"]
Opened = Callable[["Settings"], "Context"]


@pytest.fixture
def context(settings: "Settings", clock: ManualClock, database: "Database", event_log: "EventLog") -> "Context":
    """Embedded log, and each store in turn, which the settings name."""
    from infra.runtime import Context

    named = settings.model_copy(update={"store": StoreSettings(url=database.url)})
    return Context(named, clock, database, event_log)


@pytest.fixture
def sqlite_context(
    settings: "Settings", clock: ManualClock, sqlite_database: "Database", event_log: "EventLog"
) -> "Context":
    """Embedded log and SQLite."""
    from infra.runtime import Context

    named = settings.model_copy(update={"store": StoreSettings(url=sqlite_database.url)})
    return Context(named, clock, sqlite_database, event_log)


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, context: "Context") -> "Iterator[Moved]":
    """Settings of an empty machine: another data folder and, on PostgreSQL, another empty database."""
    from tests.fixtures.postgres import fresh_database

    with ExitStack() as stack:

        def make(folder: Path) -> "Settings":
            url = f"sqlite:///{folder / 'store.sqlite3'}"
            if context.database.dialect == "postgresql":
                url = stack.enter_context(fresh_database(request.getfixturevalue("postgres_server")))
            return context.settings.model_copy(update={"data_dir": folder, "store": StoreSettings(url=url)})

        yield make


@pytest.fixture
def opened(clock: ManualClock) -> "Iterator[Opened]":
    """Contexts, closed at the end."""
    from infra.runtime import open_context

    with ExitStack() as stack:

        def make(settings: "Settings") -> "Context":
            context = open_context(settings, clock)
            stack.callback(context.close)
            return context

        yield make
