"""One gateway for all drills: a test that needs it running finds it running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.forking import GATEWAY, Forking
from tests.serving.drills.plant import GatewayPlant


@pytest.fixture(scope="package")
def forking() -> Iterator[Forking]:
    made = Forking(GATEWAY)
    yield made
    made.close()


@pytest.fixture(scope="package")
def plant(forking: Forking, tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Iterator[GatewayPlant]:
    """Running or not."""
    made = GatewayPlant(tmp_path_factory.mktemp("drills") / "plant", tiny_model_dir, forking)
    yield made
    made.close()


@pytest.fixture
def running(plant: GatewayPlant) -> Iterator[GatewayPlant]:
    """Ready for traffic."""
    plant.start()
    yield plant
    print(plant.outputs())  # shown by pytest when the test fails
