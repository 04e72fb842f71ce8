"""One data folder with `plaudit serve` over it, as often as it is killed; and what its log holds in the end."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from infra.contracts import Interaction, SystemClock
from infra.event_log import open_event_log
from infra.settings import Settings, load_settings
from infra.settings.describing import toml_value
from tests.fixtures.forking import Forking
from tests.fixtures.helpers import free_port, handed_on, wait_until

MARK = "zanzibar-4711"
"""Stands in every prompt: it must be in no log."""
PATIENCE_SECONDS = 60.0


def asked(text: str = "How can I fall asleep faster?", **more: Any) -> dict[str, Any]:
    """A chat request; a short one."""
    return {"model": "base", "messages": [{"role": "user", "content": f"{MARK} {text}"}], "max_tokens": 4, **more}


def long(**more: Any) -> dict[str, Any]:
    """A request whose answer of the random model seldom ends before its limit."""
    return asked(max_tokens=400, temperature=2.0, stream=True, **more)


class GatewayPlant:
    """Close it at the end."""

    def __init__(self, folder: Path, model: Path, forking: Forking, **sections: Any) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(
            base_url=self.url, timeout=PATIENCE_SECONDS, limits=httpx.Limits(max_connections=200)
        )
        folder.mkdir(parents=True)
        self._config = folder / "plaudit.toml"
        document = {
            "data_dir": str(folder / "data"),
            "model": {"base": str(model), "dtype": "float32", "device": "cpu", "threads": 1},
            "serving": {
                "port": self.port,
                "replica": "drill",
                "max_batch_rows": 4,
                "max_queue_rows": 8,
                "drain_seconds": 0.5,
                "drain_grace_seconds": PATIENCE_SECONDS,
            },
            "event_log": {"append_timeout_seconds": 2.0, "replication_factor": 1, "session_timeout_seconds": 6.0},
            "logging": {"level": "debug"},
            **sections,
        }
        self._config.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in document.items()))
        self.settings: Settings = load_settings(self._config)
        self._forking = forking
        self._lives = 0
        self.process: int | None = None

    def start(self) -> None:
        """Start it where it does not run; returns when it is ready."""
        if self.process is None:
            self._lives += 1
            environment = {**os.environ, "PLAUDIT_CONFIG": str(self._config)}
            self.process = self._forking.start(("serve",), environment, self.folder / f"serve-{self._lives}.out")
        wait_until(self.ready, 120.0, "the gateway to be ready", every_seconds=0.05)

    def ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def end(self, by: signal.Signals) -> int:
        """Send the signal and wait for the end; returns the exit code."""
        assert self.process is not None
        os.kill(self.process, by)
        code, self.process = self._forking.wait(self.process), None
        return code

    def in_progress(self) -> int:
        """Requests that the gateway is answering now."""
        return int(self.gauge("plaudit_serving_in_flight_requests"))

    def gauge(self, name: str) -> float:
        """The metric's value, by a pattern of its name and labels; 0 as long as nothing has set it."""
        found = re.search(rf"^{name} (\S+)", self.client.get("/metrics").text, re.M)
        return float(found[1]) if found else 0.0

    def idle(self) -> bool:
        return self.in_progress() == 0

    def logged(self) -> dict[str, Interaction]:
        """Every interaction on the log by its response's id."""
        if self.process is not None:
            wait_until(lambda: self.gauge("plaudit_event_log_spool_bytes") == 0, PATIENCE_SECONDS, "its spool")
        log = open_event_log(self.settings, SystemClock())
        handed_on(log)  # what the last life left
        topic = f"{self.settings.event_log.topic_prefix}.interactions"
        log.ensure_topic(topic)
        consumer = log.consumer(topic, f"test-{time.monotonic_ns()}")
        found: dict[str, Interaction] = {}
        try:
            left = sum(consumer.end_offsets().values())
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                records = consumer.poll(1000, 0.5)
                if left <= 0 and not records:  # after an outage the brokers' end offsets have been too low
                    break
                for record in records:
                    left -= 1
                    for one in msgspec.msgpack.decode(record.value, type=list[Interaction]):
                        found[one.response_id] = one
            assert left <= 0, "the log did not hand out all it holds"
        finally:
            consumer.close()
            log.close()
        return found

    def outputs(self) -> str:
        """The ends of all outputs, for the report of a failure."""
        files = sorted(self.folder.glob("*.out*"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def close(self) -> None:
        if self.process is not None:
            self.end(signal.SIGKILL)
        self.client.close()


def _lines_of(response: httpx.Response) -> Iterator[str]:
    """The lines of a stream. httpx's own end wherever Unicode ends a line, and a random model says all of Unicode."""
    left = b""
    for data in response.iter_bytes():
        *lines, left = (left + data).split(b"\n")
        yield from (line.decode() for line in lines)


class Streamed:
    """A stream read piece by piece; leave it early by closing."""

    def __init__(self, plant: GatewayPlant, body: dict[str, Any]) -> None:
        self._opened = plant.client.stream("POST", "/v1/chat/completions", json=body)
        self.response = self._opened.__enter__()
        self.response_id = self.response.headers.get("x-plaudit-response-id", "")
        self._lines = _lines_of(self.response)
        self.text, self.done = "", False

    def read(self, characters: float = float("inf")) -> "Streamed":
        """Read until so much text has come, or to the end."""
        while len(self.text) < characters:
            line = next(self._lines, None)
            if line is None:
                break
            self.done = self.done or line == "data: [DONE]"
            if line.startswith("data: {"):
                choices = json.loads(line[6:]).get("choices") or [{}]
                self.text += choices[0].get("delta", {}).get("content", "")
        return self

    def close(self) -> None:
        self._opened.__exit__(None, None, None)
