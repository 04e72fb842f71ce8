"""Rooms import only downwards; kafka, mlflow and torch stay where they belong."""

import subprocess
import sys
from pathlib import Path

from tests.architecture.source import ROOT, imported_names, modules


def test_import_contracts_hold() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([str(command), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_kafka_and_mlflow_have_one_door_each() -> None:
    """Also for imports inside functions and under TYPE_CHECKING."""
    doors = {"kafka": "infra/event_log/", "mlflow": "infra/registry/"}
    strangers = [
        f"{module.path} imports {library}"
        for module in modules()
        for library, door in doors.items()
        if imported_names(module.tree, library) and not module.path.startswith(door)
    ]
    assert strangers == []
