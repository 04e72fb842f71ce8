"""The logs under test: the embedded one, and Kafka's protocol."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.event_log import EventLog, open_event_log
from infra.event_log.spooling.log import SpoolingEventLog
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings
from tests.conformance.logs import Deployment

SESSION_SECONDS = 6.0 if "PLAUDIT_TEST_KAFKA" in os.environ else 3.0
"""Apache Kafka refuses less than 6 s; our own broker makes the first member of a group wait for half of it."""


def _settings(kind: str, folder: Path, bootstrap: str = "") -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder,
            "event_log": EventLogSettings.model_validate(
                {
                    "kind": kind,
                    "bootstrap_servers": bootstrap,
                    "partitions": 4,
                    "replication_factor": 1,
                    "session_timeout_seconds": SESSION_SECONDS,
                }
            ),
        }
    )


@pytest.fixture(params=["embedded", "spooling", pytest.param("kafka", marks=pytest.mark.broker)])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Deployment]:
    """Each adapter in turn, with 4 partitions a topic and a short session timeout."""
    bootstrap = request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else ""
    kind = "kafka" if bootstrap else "embedded"
    settings = _settings(kind, tmp_path, bootstrap)

    def connect() -> EventLog:
        log = open_event_log(settings, clock)
        if request.param != "spooling":
            return log
        return SpoolingEventLog(log, tmp_path / "spool", settings.event_log)

    deployment = Deployment(kind, connect)
    with deployment.closing:
        yield deployment
