"""The logs under test: the embedded one, and Kafka's protocol."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.event_log import open_event_log
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings
from tests.conformance.logs import Deployment


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
                    "session_timeout_seconds": 6.0,
                }
            ),
        }
    )


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.broker)])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Deployment]:
    """Each adapter in turn, with 4 partitions a topic and a session timeout of 6 s."""
    bootstrap = request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else ""
    settings = _settings(request.param, tmp_path, bootstrap)
    deployment = Deployment(request.param, lambda: open_event_log(settings, clock))
    with deployment.closing:
        yield deployment
