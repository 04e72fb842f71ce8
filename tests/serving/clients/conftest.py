"""One gateway for all clients: with keys, and a limit per person."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings.access import AccessSettings
from tests.serving.shop import Shop, open_shop


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, sqlite_template: Path) -> Iterator[Shop]:
    """A person may ask twice at once, then every two seconds."""
    access = AccessSettings(require_keys=True, user_requests_per_minute=30, user_request_burst=2)
    with open_shop(tmp_path_factory.mktemp("shop"), tiny_model_dir, sqlite_template, access=access) as opened:
        yield opened
