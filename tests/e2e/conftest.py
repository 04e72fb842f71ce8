"""One data folder, one port and one running `plaudit up` for all drills; a test that needs it finds it running.

On several workers the drills stay together by `tests.plugins.together`.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.deployment import Deployment
from tests.models_fixtures import make_tiny_model


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
