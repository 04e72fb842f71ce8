"""A real MLflow on SQLite. Making its fifty tables takes seconds, so it is done once and the file copied."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.registry import Registry
from tests.fixtures.registry import lay_registry

START = 1_700_000_000.0


@pytest.fixture
def make_registry(registry_template: Path, tmp_path: Path) -> Iterator[Callable[[], Registry]]:
    """Each call opens the same registry file anew, as another process would."""
    lay_registry(registry_template, tmp_path)
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
