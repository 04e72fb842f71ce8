import pytest

from infra.runtime.children import _environment
from infra.settings import Settings


def test_training_threads_wait_without_spinning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert _environment(settings)["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert _environment(settings)["OMP_WAIT_POLICY"] == "active", "what the user chose holds"
