import pytest

from infra.runtime.children import _environment
from infra.settings import Settings


def test_training_threads_wait_without_spinning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert _environment(settings)["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    assert _environment(settings)["GOMP_SPINCOUNT"] == "5", "what the user chose holds"
