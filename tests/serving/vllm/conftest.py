"""Servers of the double, and an engine over them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.contracts import Clock, Message, SamplingParameters
from infra.db import Database
from infra.models.chat import render_chat
from infra.models.fingerprint import measure
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest
from infra.settings.engines import VllmSettings
from serving.adapters import Adapters
from serving.vllm.engine import VllmEngine
from tests.fixtures.helpers import wait_until
from tests.fixtures.vllm_double import VllmDouble
from tests.serving.conftest import PROJECT


@dataclass
class Rig:
    """Doubles with an engine over them. `adapters` keeps each replica as the store wants it, when asked."""

    doubles: list[VllmDouble]
    engine: VllmEngine
    loaded: LoadedModel
    adapters: Adapters | None = field(default=None)

    def well(self, *numbers: int) -> None:
        """Wait until these replicas (all by default) are well."""
        replicas = self.engine.replicas()
        for number in numbers or range(len(replicas)):
            wait_until(lambda one=replicas[number]: one.well() and one.mode, 60.0, f"replica {number}")

    def open_base(self) -> None:
        """Take the base on trust everywhere."""
        self.well()
        for replica in self.engine.replicas():
            replica.open("base", replica.incarnation)

    def request(self, adapter: str = "base", **more: Any) -> GenerationRequest:
        own = {name: more.pop(name) for name in ("on_token", "is_cancelled") if name in more}
        prompt = tuple(render_chat(self.loaded, [Message("user", "What?")]))
        return GenerationRequest(prompt, SamplingParameters(**{"seed": 0, "max_tokens": 6, **more}), adapter, **own)

    def ask(self, adapter: str = "base", **more: Any) -> tuple[int, ...]:
        return self.engine.generate([self.request(adapter, **more)])[0].token_ids


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(tiny_loaded: LoadedModel, tmp_path: Path) -> Iterator[MakeRig]:
    """`make_rig(count, mode=..., **settings)`: that many servers and an engine; all are ended with the test."""
    with ExitStack() as closing:

        def make(count: int = 1, mode: Any = "processed", **settings: Any) -> Rig:
            doubles = [VllmDouble(tiny_loaded, mode) for _ in range(count)]
            for double in doubles:
                closing.callback(double.close)
                double.start()
            wanted = {
                "health_every_seconds": 0.05, "backoff_seconds": 0.01, "token_timeout_seconds": 5.0, "attempts": 3,
                "connect_timeout_seconds": 10.0, "health_timeout_seconds": 30.0, **settings,
            }  # fmt: skip
            urls = tuple(double.url for double in doubles)
            engine = VllmEngine(
                tiny_loaded,
                VllmSettings(urls=urls, **wanted),
                adapters_folder=tmp_path / "adapters",
                reference=measure(tiny_loaded),
            )
            closing.callback(engine.close)
            return Rig(doubles, engine, tiny_loaded)

        yield make


@pytest.fixture
def make_kept(make_rig: MakeRig, sqlite_database: Database, clock: Clock) -> MakeRig:
    """Like `make_rig`, with the adapters of every replica kept by the store's word."""

    def make(count: int = 2, **settings: Any) -> Rig:
        rig = make_rig(count, **settings)
        rig.well()
        rig.adapters = Adapters(rig.engine, sqlite_database, clock, project=PROJECT, replica="gw", retry_seconds=60.0)
        return rig

    return make
