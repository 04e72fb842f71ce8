"""The gateway with the feedback API beside it, as `plaudit up` has it, and with API keys."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.contracts import SystemClock
from infra.db import Database
from infra.event_log import open_event_log
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.access import AccessSettings
from infra.settings.infrastructure import EventLogSettings, ModelSettings
from infra.settings.serving import ServingSettings
from ingest.access.service import create_key
from ingest.api import routes
from ingest.service import IngestService
from tests.fixtures.stores import copied_store
from tests.serving.conftest import Served

SCOPES = ("infer", "feedback", "read", "admin")

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "Hello?"}]
BODY: dict[str, Any] = {"model": "plaudit", "messages": QUESTION, "max_tokens": 2}
"""The smallest request."""


@dataclass(frozen=True)
class Shop:
    """The gateway, and a key of each scope."""

    served: Served
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return f"{self.served.url}/v1"

    def headers(self, scope: str = "infer") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[scope]}"}


@contextmanager
def open_shop(folder: Path, model: Path, template: Path, **sections: Any) -> Iterator[Shop]:
    """Running over `folder`; `sections` replace sections of the settings."""
    settings = Settings(
        data_dir=folder / "data",
        **{
            "event_log": EventLogSettings(replication_factor=1),
            "model": ModelSettings(base=str(model), dtype="float32", device="cpu", threads=1),
            "serving": ServingSettings(replica="shop", max_tokens_default=16),
            "access": AccessSettings(require_keys=True, cache_seconds=0.2),
            **sections,
        },
    )
    database = Database.open(copied_store(template, folder))
    log = open_event_log(settings, SystemClock())
    context = Context(settings, SystemClock(), database, log)
    keys = {scope: create_key(context, scope, [scope], actor="test")[1] for scope in SCOPES}
    served = Served(context, routes(IngestService(context)))
    served.start()
    try:
        yield Shop(served, keys)
    finally:
        served.stop()
        log.close()
        database.close()


def raw(served: Served, request: str) -> tuple[int, str]:
    """(status, head) of what the server says to these very bytes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connection.recv(65_536)
            if not piece:
                break
            answer += piece
    head = answer.split(b"\r\n\r\n")[0].decode("latin-1")
    return int(head.split(" ")[1]), head
