"""A data folder ready for a training, and the real command on it, killed and started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from infra.contracts import SystemClock
from infra.db.tables import reward_models
from infra.runtime import open_context
from infra.settings import Settings, load_settings
from infra.settings.describing import toml_value
from reward_model.files import Manifest, read_folder
from tests.reward_model.test_service import fill

ROOT = Path(__file__).parents[2]


def prepared(folder: Path, model: Path, exchanges: int, more: Mapping[str, Any] | None = None) -> Path:
    """`plaudit.toml` of a new data folder with feedback on `exchanges` prompts of two answers, and `more` settings of
    the room; returns its path."""
    folder.mkdir(parents=True)
    document = {
        "data_dir": str(folder / "data"),
        "model": {"base": str(model), "dtype": "float32", "threads": 1, "device": "cpu"},
        "jobs": {"heartbeat_seconds": 0.5},
        "reward_model": {
            "min_labels": 40,
            "min_pairs": 20,
            "min_positive": 5,
            "min_new_labels": 10,
            "folds": 3,
            "bootstrap": 100,
            "l2_grid": [0.01, 0.1],
            "cross_fit_min_labels": 40,
            **(more or {}),
        },
    }
    config = folder / "plaudit.toml"
    config.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in document.items()))
    context = open_context(load_settings(config), SystemClock())
    fill(context, exchanges)
    context.close()
    return config


class Training:
    """One run of `plaudit reward-model train`."""

    def __init__(self, config: Path, prefix: str = "", wrapped: Sequence[str] = ()) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAUDIT_")}
        self.log = config.with_name("train.log")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *wrapped,
                    "bash",
                    "-c",
                    f"{prefix} exec {sys.executable} -m plaudit --config {config} reward-model train",
                ],
                cwd=ROOT,
                env={**clean, "OMP_NUM_THREADS": "1", "PLAUDIT_LOGGING__FORMAT": "json"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def kill_when(self, reached: Callable[[], bool], seconds: float = 120.0) -> bool:
        """SIGKILL as soon as `reached`; False where the run was over before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            if reached():
                break
            time.sleep(0.002)
        alive = self.process.poll() is None
        self.process.send_signal(signal.SIGKILL) if alive else None
        self.process.wait(30.0)
        return alive

    def end(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(240.0)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


def versions(settings: Settings) -> list[tuple[int, str]]:
    """(version, state) of what is registered."""
    context = open_context(settings, SystemClock())
    with context.database.reading() as connection:
        query = select(reward_models.c.version, reward_models.c.state).order_by(reward_models.c.version)
        found = [(int(row.version), str(row.state)) for row in connection.execute(query)]
    context.close()
    return found


def trained(settings: Settings, version: int = 1) -> Manifest:
    """The manifest of a version, after its files were checked."""
    return read_folder(settings.data_dir / "reward_models" / "reward" / str(version))[0]


def stages(settings: Settings, segments: int) -> dict[str, Callable[[], bool]]:
    """How to see from outside that a training reads features, fits heads, saves, or has saved and not registered."""
    cache, folder = settings.data_dir / "feature_cache", settings.data_dir / "reward_models" / "reward"

    def known() -> int:
        return len(list(cache.glob("*/*.safetensors")))

    return {
        "features": lambda: 0 < known() < segments,
        "heads": lambda: known() >= segments,
        "judging": lambda: (folder / ".1.part" / "reward_model.json").exists(),
        "pictures": lambda: (folder / ".1.part" / "plots").exists(),
        "registering": lambda: (folder / "1").exists(),
    }
