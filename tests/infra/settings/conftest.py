import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside: an empty working directory and no PLAUDIT_* variable."""
    for name in os.environ:
        if name.startswith("PLAUDIT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
