"""Plants to drill: the embedded log on SQLite, and a Kafka-protocol broker on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.contracts import uuid7
from tests.drills.plant import Plant
from tests.fixtures.forking import Forking

MakePlant = Callable[..., Plant]


@pytest.fixture
def make_plant(tmp_path: Path, parts: Forking) -> Iterator[MakePlant]:
    """`make_plant(store_url, **event_log)`: a plant over a folder of its own, ended with the test."""
    with ExitStack() as closing:

        def make(store_url: str = "", **event_log: Any) -> Plant:
            plant = Plant(tmp_path / "plant", closing, parts, store_url, **event_log)
            plants.append(plant)
            return plant

        plants: list[Plant] = []
        yield make
        for plant in plants:  # shown by pytest when the test fails
            print(plant.outputs())


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=[pytest.mark.broker, pytest.mark.postgres])])
def plant(request: pytest.FixtureRequest, make_plant: MakePlant) -> Plant:
    """Each kind of plant in turn."""
    if request.param == "embedded":
        return make_plant()
    return make_plant(request.getfixturevalue("postgres_url"), **kafka_settings(request))


def kafka_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of a log on the session's broker, with topics of its own."""
    servers = request.getfixturevalue("kafka_bootstrap")
    return {"kind": "kafka", "bootstrap_servers": servers, "topic_prefix": f"drill-{uuid7().hex[-8:]}"}
