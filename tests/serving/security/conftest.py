"""A gateway beside the feedback API with keys required, one for all tests of a file, and a client that may ask it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.shop import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, sqlite_template: Path) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), tiny_model_dir, sqlite_template) as opened:
        yield opened


@pytest.fixture
def infer(shop: Shop) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shop.served.url, headers=shop.headers(), timeout=30) as client:
        yield client
