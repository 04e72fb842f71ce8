"""The parts of ingest as an operator runs them, each a process that can be killed, stopped and started again.

They are forked from a process with the imports done: kills and restarts are what is drilled, not how Python starts.
"""

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from infra.db import migrate
from infra.runtime import Context, open_context
from infra.settings import Settings, load_settings
from infra.settings.describing import toml_value
from tests.fixtures.forking import Forking
from tests.fixtures.helpers import free_port, wait_until

PARTS = ("api", "consumer", "labels")
WINDOW_SECONDS = 1.0


class Plant:
    """One data folder with API, consumer and label maker over it. Close it with the exit stack it was given."""

    def __init__(
        self, folder: Path, closing: ExitStack, forking: Forking, store_url: str = "", **event_log: Any
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "plaudit.toml"
        document = {
            "data_dir": str(folder / "data"),
            "store": {"url": store_url},
            "event_log": {"replication_factor": 1, "session_timeout_seconds": 6.0, "append_timeout_seconds": 2.0}
            | event_log,
            "ingest": {
                "window_seconds": WINDOW_SECONDS,
                "allowed_lateness_seconds": 0.2,
                "watermark_refresh_seconds": 0.1,
                "poll_seconds": 0.05,
                "consumer_batch_records": 4,
                "backoff_seconds": 0.1,
                "max_backoff_seconds": 0.5,
            },
        }
        self.config.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in document.items()))
        self.settings: Settings = load_settings(self.config)
        if store_url:
            migrate(store_url)
        self._forking = forking
        self._processes: dict[str, int] = {}
        closing.callback(self.kill_all)
        self.context: Context = open_context(self.settings)
        closing.callback(self.context.close)

    def start(self, *parts: str) -> None:
        """Start these parts (all by default). `consumer2` is a second member of the consumer's group."""
        environment = {**os.environ, "PLAUDIT_CONFIG": str(self.config)}
        for part in parts or PARTS:
            program, *arguments = self._command(part)
            output = self.folder / f"{part}.out"
            self._processes[part] = self._forking.start(tuple(arguments), environment, output, program)
        if "api" in (parts or PARTS):
            wait_until(self.answers, 60.0, "the API's answer", every_seconds=0.05)

    def kill(self, part: str) -> None:
        """SIGKILL: no chance to clean up."""
        self._forking.kill(self._processes.pop(part))

    def pid(self, part: str) -> int:
        return self._processes[part]

    def kill_all(self) -> None:
        for part in list(self._processes):
            self.kill(part)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False

    def outputs(self) -> str:
        """The ends of the processes' outputs, for the report of a failure."""
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in self.folder.glob("*.out*")
        )

    def _command(self, part: str) -> list[str]:
        if part == "api":
            return ["plaudit", "ingest", "api", "--port", str(self.port)]
        if part == "labels":
            return ["tests.drills.label_loop"]
        return ["plaudit", "ingest", "consume"]


def pause(seconds: float) -> None:
    """Let the plant work."""
    time.sleep(seconds)
