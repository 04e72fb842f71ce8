"""Embedded logs with small limits."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.contracts import ManualClock
from infra.event_log.embedded.log import SqliteEventLog
from infra.settings.infrastructure import EventLogSettings

OpenLog = Callable[..., SqliteEventLog]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite3"


@pytest.fixture
def open_log(path: Path, clock: ManualClock) -> Iterator[OpenLog]:
    """Opens the test's log, with settings by name, and its topic `t`."""
    with ExitStack() as closing:

        def open_it(**settings: Any) -> SqliteEventLog:
            log = SqliteEventLog(path, EventLogSettings(**settings), clock)
            closing.callback(log.close)
            log.ensure_topic("t")
            return log

        yield open_it
