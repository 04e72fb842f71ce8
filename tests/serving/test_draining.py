"""What settings make of the server of `plaudit serve`."""

import pytest
import uvicorn

from infra.runtime import Health
from infra.settings.serving import ServingSettings
from serving import draining


def test_the_server_keeps_connections_and_answers_as_long_as_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[uvicorn.Config] = []
    monkeypatch.setattr(draining, "ease_process", lambda *, threads_work: None)
    monkeypatch.setattr(draining.DrainingServer, "run", lambda self: made.append(self.config))
    draining.run_until_signal(lambda: None, ServingSettings(drain_grace_seconds=9), Health())  # type: ignore[arg-type]
    draining.run_until_signal(lambda: None, ServingSettings(keep_alive_seconds=5), Health())  # type: ignore[arg-type]
    assert [(config.timeout_keep_alive, config.timeout_graceful_shutdown) for config in made] == [(75, 9), (5, 25)]
