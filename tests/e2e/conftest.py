"""One data folder, one port and one running `plaudit up` for all drills; a test that needs it finds it running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment
from tests.models_fixtures import make_tiny_model

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share one deployment: on several workers they must stay together."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The deployment, running or not."""
    folder = tmp_path_factory.mktemp("e2e")
    deployed = Deployment(folder, make_tiny_model(folder / "model"))
    yield deployed
    deployed.close()


@pytest.fixture
def running(deployment: Deployment) -> Deployment:
    """The deployment, ready for traffic."""
    deployment.ensure_ready()
    return deployment
