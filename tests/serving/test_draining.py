"""What settings make of the server of `plaudit serve`."""

import sys
from collections.abc import Iterator

import pytest
import uvicorn

from infra.runtime import Health
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings
from infra.settings.serving import ServingSettings
from serving import draining, process
from serving.app import threads_work_in


def test_the_server_keeps_connections_and_answers_as_long_as_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[uvicorn.Config] = []
    monkeypatch.setattr(draining, "ease_process", lambda *, threads_work: None)
    monkeypatch.setattr(draining.DrainingServer, "run", lambda self: made.append(self.config))
    draining.run_until_signal(lambda: None, ServingSettings(drain_grace_seconds=9), Health())  # type: ignore[arg-type]
    draining.run_until_signal(lambda: None, ServingSettings(keep_alive_seconds=5), Health())  # type: ignore[arg-type]
    assert [(config.timeout_keep_alive, config.timeout_graceful_shutdown) for config in made] == [(75, 9), (5, 25)]


@pytest.fixture
def _switch_interval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(process, "ease_collector", lambda: None)
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize(
    ("event_log", "work"),
    [({}, False), ({"spool_process": False}, True), ({"spool_limit_bytes": 0}, True)],
    ids=["a process keeps the spool", "threads keep it", "the log is written here"],
)
@pytest.mark.usefixtures("_switch_interval")
def test_threads_give_way_soon_only_where_some_work_all_the_time(event_log: dict[str, int], work: bool) -> None:
    sys.setswitchinterval(0.005)
    assert threads_work_in(Settings(event_log=EventLogSettings.model_validate(event_log))) is work
    process.ease_process(threads_work=work)
    assert sys.getswitchinterval() == pytest.approx(process.SWITCH_SECONDS if work else 0.005)
