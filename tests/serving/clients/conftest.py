"""One gateway with keys and a limit per person, for all clients."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.contracts import SystemClock
from infra.db import Database
from infra.event_log import open_event_log
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.access import AccessSettings
from infra.settings.infrastructure import EventLogSettings, ModelSettings
from infra.settings.serving import ServingSettings
from ingest.access.service import create_key
from tests.fixtures.stores import copied_store
from tests.serving.conftest import Served


@dataclass(frozen=True)
class Shop:
    """The gateway, a key that may ask it, and one that may not."""

    served: Served
    key: str
    other_key: str

    @property
    def url(self) -> str:
        return f"{self.served.url}/v1"


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, sqlite_template: Path) -> Iterator[Shop]:
    """A person may ask twice at once, then every two seconds."""
    folder = tmp_path_factory.mktemp("shop")
    settings = Settings(
        data_dir=folder / "data",
        event_log=EventLogSettings(replication_factor=1),
        model=ModelSettings(base=str(tiny_model_dir), dtype="float32", device="cpu", threads=1),
        serving=ServingSettings(replica="shop", max_tokens_default=16),
        access=AccessSettings(require_keys=True, user_requests_per_minute=30, user_request_burst=2),
    )
    database = Database.open(copied_store(sqlite_template, folder))
    log = open_event_log(settings, SystemClock())
    context = Context(settings, SystemClock(), database, log)
    keys = [create_key(context, scope, [scope], actor="test")[1] for scope in ("infer", "feedback")]
    served = Served(context)
    served.start()
    yield Shop(served, *keys)
    served.stop()
    log.close()
    database.close()
