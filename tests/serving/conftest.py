"""A real gateway on a loopback port: uvicorn, the tiny model, a migrated store and the embedded log."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
import uvicorn
from starlette.routing import BaseRoute

from infra.contracts import BASE_ADAPTER, AdapterVersion, Experiment, Interaction, Phase, SystemClock
from infra.db.tables import adapters, experiments, serving_state
from infra.event_log import EventLog
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.infrastructure import ModelSettings
from infra.settings.serving import ServingSettings
from serving.app import build_gateway
from serving.connections import Http11Protocol
from tests.fixtures.helpers import free_port, handed_on
from tests.models_fixtures import make_tiny_lora, make_tiny_model, other_tiny_model_dir, tiny_loaded, tiny_model_dir

if TYPE_CHECKING:
    from infra.db import Database
    from tests.serving.shop import Shop

__all__ = ["make_tiny_model", "other_tiny_model_dir", "tiny_loaded", "tiny_model_dir"]

PROJECT = "default"


@pytest.fixture
def serving_settings(settings: Settings, tiny_model_dir: Path) -> Settings:
    """One thread, float32, reconciliation ten times a second."""
    return settings.model_copy(
        update={
            "model": ModelSettings(base=str(tiny_model_dir), dtype="float32", device="cpu", threads=1),
            "serving": ServingSettings(
                replica="test", reconcile_every_seconds=0.1, max_tokens_default=16, proof_retry_seconds=0.1
            ),
        }
    )


@pytest.fixture
def context(serving_settings: Settings, sqlite_database: "Database", event_log: EventLog) -> Context:
    return Context(serving_settings, SystemClock(), sqlite_database, event_log)


class Served:
    """A gateway that runs in a thread of this process."""

    def __init__(self, context: Context, extra_routes: Sequence[BaseRoute] = ()) -> None:
        self.context = context
        self.app = build_gateway(context, extra_routes=extra_routes)
        self.port = free_port()
        config = uvicorn.Config(
            self.app,
            host="127.0.0.1",
            port=self.port,
            http=Http11Protocol,
            log_config=None,
            lifespan="on",
            access_log=False,
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self.client = httpx.Client(base_url=self.url, timeout=60)  # one: making one takes longer than most answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self.server.started)
        wait_until(lambda: self.client.get("/readyz").status_code == 200)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def chat(self, content: str = "How can I fall asleep faster?", **more: Any) -> httpx.Response:
        body = {"model": "plaudit", "messages": [{"role": "user", "content": content}], **more}
        return self.client.post("/v1/chat/completions", json=body)

    def models(self) -> set[str]:
        return {item["id"] for item in self.client.get("/v1/models").json()["data"]}

    def logged(self) -> list[Interaction]:
        """Every interaction on the log, in no special order."""
        log = self.context.event_log
        handed_on(log)
        topic = f"{self.context.settings.event_log.topic_prefix}.interactions"
        log.ensure_topic(topic)
        consumer = log.consumer(topic, f"test-{time.monotonic_ns()}")
        found: list[Interaction] = []
        try:
            left = sum(consumer.end_offsets().values())
            deadline = time.monotonic() + 20
            while left > 0 and time.monotonic() < deadline:  # what is written meanwhile may come too
                for record in consumer.poll(1000, 0.5):
                    left -= 1
                    found += msgspec.msgpack.decode(record.value, type=list[Interaction])
            assert left <= 0, "the log did not hand out all it holds"
        finally:
            consumer.close()
        return found


@pytest.fixture
def served(context: Context) -> Iterator[Served]:
    gateway = Served(context)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def make_adapter(tiny_model_dir: Path, sqlite_database: "Database", tmp_path: Path) -> Callable[..., AdapterVersion]:
    """Train (at random) an adapter on the tiny base and write its row; keyword arguments replace the row's values."""

    def make(
        name: str = "kind", version: int = 1, *, seed: int = 1, state: str = "candidate", **row: Any
    ) -> AdapterVersion:
        from infra.models.loading import load_folder

        folder = tmp_path / "adapters" / name / str(version)
        loaded = load_folder(tiny_model_dir, device="cpu", dtype="float32")
        hashes, fingerprint = make_tiny_lora(loaded, folder, seed=seed)
        values: dict[str, Any] = {
            "project": PROJECT,
            "name": name,
            "version": version,
            "path": str(folder),
            "base_model_hash": loaded.base_model_hash,
            "file_hashes": hashes,
            "fingerprint": fingerprint,
            "state": state,
            "parent": BASE_ADAPTER,
            "created_at": 1.0,
            **row,
        }
        adapter = AdapterVersion(**values)
        with sqlite_database.transaction() as connection:
            connection.execute(adapters.insert().values(**msgspec.to_builtins(adapter)))
        return adapter

    return make


def set_champion(database: "Database", champion: str, last_proven: str = BASE_ADAPTER) -> None:
    """Move the pointer as a decision would."""
    row = {"champion": champion, "last_proven": last_proven, "decision_id": "test", "updated_at": 1.0}
    with database.transaction() as connection:
        connection.execute(serving_state.delete())
        connection.execute(serving_state.insert().values(project=PROJECT, **row))


def start_experiment(database: "Database", challenger: str, share: float = 0.5, **more: Any) -> Experiment:
    """A running experiment of a challenger against `control` (the base), as the decide job would write it."""
    values: dict[str, Any] = {
        "project": PROJECT, "experiment_id": "e1", "challenger": challenger, "control": BASE_ADAPTER, "salt": "s",
        "status": "running", "phases": (Phase(0, share, 1.0),), "started_at": 1.0, **more,
    }  # fmt: skip
    made = Experiment(**values)
    with database.transaction() as connection:
        connection.execute(experiments.insert().values(**msgspec.to_builtins(made)))
    return made


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Poll until true; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture(scope="module")
def shop_sections() -> dict[str, Any]:
    """Sections of the settings in which a file's shop differs from `open_shop`'s; to be overridden."""
    return {}


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model_dir: Path,
    sqlite_template: Path,
    shop_sections: dict[str, Any],
) -> "Iterator[Shop]":
    """A gateway beside the feedback API, one for all tests of a file; keys are required unless it says otherwise."""
    from tests.serving.shop import open_shop

    with open_shop(tmp_path_factory.mktemp("shop"), tiny_model_dir, sqlite_template, **shop_sections) as opened:
        yield opened


@pytest.fixture
def infer(shop: "Shop") -> Iterator[httpx.Client]:
    """A client that may ask it for answers."""
    with httpx.Client(base_url=shop.served.url, headers=shop.headers(), timeout=60) as client:
        yield client
