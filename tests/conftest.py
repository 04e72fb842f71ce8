"""Fixtures of all rooms. Real parts only: a broker, a PostgreSQL, migrated stores, the embedded log."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from infra.contracts import ManualClock
from tests.fixtures.broker import kafka_bootstrap
from tests.fixtures.forking import parts
from tests.fixtures.postgres import postgres_server, postgres_template, postgres_url
from tests.fixtures.registry import registry_template, settings_with_registry
from tests.fixtures.stores import (
    database,
    database_url,
    postgres_database,
    sqlite_database,
    sqlite_template,
    sqlite_url,
)
from tests.models_fixtures import other_tiny_model_dir, tiny_loaded, tiny_model_dir

if TYPE_CHECKING:
    from infra.event_log import EventLog
    from infra.settings import Settings

# Examples may take their time: a busy machine stalls a process for longer than any sensible limit. The rest is as the
# profile says that is loaded already (on a build server `ci`).
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

__all__ = [
    "database",
    "database_url",
    "kafka_bootstrap",
    "other_tiny_model_dir",
    "parts",
    "postgres_database",
    "postgres_server",
    "postgres_template",
    "postgres_url",
    "registry_template",
    "settings_with_registry",
    "sqlite_database",
    "sqlite_template",
    "sqlite_url",
    "tiny_loaded",
    "tiny_model_dir",
]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that runs in this process sets logging up, on a stream that is closed when the test ends."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at 1_700_000_000 until the test moves it."""
    return ManualClock()


@pytest.fixture
def settings(tmp_path: Path) -> "Settings":
    """Default settings with every file under the test's own folder, SQLite and the embedded log."""
    from infra.settings.infrastructure import EventLogSettings
    from infra.settings.root import Settings

    return Settings(
        data_dir=tmp_path / "data",
        event_log=EventLogSettings(replication_factor=1, session_timeout_seconds=6.0),
    )


@pytest.fixture
def event_log(settings: "Settings", clock: ManualClock) -> "Iterator[EventLog]":
    """The embedded log in the test's own folder."""
    from infra.event_log import open_event_log

    log = open_event_log(settings, clock)
    yield log
    log.close()
