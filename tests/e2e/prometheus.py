"""A real Prometheus server beside a running system, for tests; Debian's package has it."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.helpers import free_port, sigkill, wait_until

SCRAPE_SECONDS = 1.0
"""Also how long a scrape may take: half of it was too little on a machine that is busy with other tests, and a scrape
that fails makes an alert wait anew."""
EVALUATE_SECONDS = 0.5

_CONFIGURATION = """
global:
  scrape_interval: {scrape}ms
  scrape_timeout: {scrape}ms
  evaluation_interval: {evaluate}ms
rule_files: ["{rules}"]
scrape_configs:
- job_name: plaudit
  static_configs:
  - targets: ["{target}"]
"""


class Prometheus:
    """One server, its rules loaded, scraping one target."""

    def __init__(self, url: str) -> None:
        self.url = url

    def firing(self) -> dict[str, dict[str, str]]:
        """Alert -> labels of the alerts that fire now; of several of a name, one."""
        return {alert["labels"]["alertname"]: alert["labels"] for alert in self._alerts() if alert["state"] == "firing"}

    def value(self, expression: str) -> float | None:
        """What an instant query gives; None when it gives nothing."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30.0).json()
        found = answer["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def seconds_until(self, condition: Callable[[], bool], timeout_seconds: float, what: str) -> float:
        """How long it took."""
        started = time.monotonic()
        wait_until(condition, timeout_seconds, what, every_seconds=0.1)
        return time.monotonic() - started

    def _alerts(self) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/api/v1/alerts", timeout=30.0)
        found: list[dict[str, Any]] = answer.json()["data"]["alerts"]
        return found


@contextmanager
def prometheus(folder: Path, rules: str, target: str) -> Iterator[Prometheus]:
    """A server over `target` (`host:port`) with the text of a rules file, ready; it ends with the block."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: `scripts/install-test-tools` as root on Debian or Ubuntu")
    folder.mkdir(parents=True)
    (folder / "rules.yml").write_text(rules)
    scrape, evaluate = round(SCRAPE_SECONDS * 1000), round(EVALUATE_SECONDS * 1000)
    (folder / "prometheus.yml").write_text(
        _CONFIGURATION.format(scrape=scrape, evaluate=evaluate, rules=folder / "rules.yml", target=target)
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            server = Prometheus(f"http://{address}")
            wait_until(lambda: _ready(server.url), 30.0, "prometheus to be ready")
            yield server
        finally:
            sigkill(process)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False
