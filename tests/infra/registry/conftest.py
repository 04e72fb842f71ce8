"""A real MLflow on SQLite. Making its fifty tables takes seconds, so it is done once and the file copied."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.registry import Registry

START = 1_700_000_000.0


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry-template")
    registry = registry_at(folder)
    assert registry.healthy() is None
    registry.close()
    return folder / "mlflow.sqlite3"


@pytest.fixture
def make_registry(registry_template: Path, tmp_path: Path) -> Iterator[Callable[[], Registry]]:
    """Each call opens the same registry file anew, as another process would."""
    shutil.copy(registry_template, tmp_path / "mlflow.sqlite3")
    opened: list[Registry] = []

    def make() -> Registry:
        opened.append(registry_at(tmp_path))
        return opened[-1]

    yield make
    for registry in opened:
        registry.close()


@pytest.fixture
def registry(make_registry: Callable[[], Registry]) -> Registry:
    return make_registry()


def registry_at(folder: Path, project: str = "default") -> Registry:
    uri = f"sqlite:///{folder / 'mlflow.sqlite3'}"
    return Registry(uri, "plaudit", folder / "artifacts", project, ManualClock(START))
