"""The embedded system as a child process of the demo: the same `plaudit up` that a user runs."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from infra.contracts import PlauditError


class UpFailed(PlauditError):
    code = "up_failed"


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class UpProcess:
    """`plaudit up` under one configuration file. Output goes to `log`."""

    def __init__(self, config: Path, port: int, log: Path) -> None:
        self.config, self.port, self.log = config, port, log
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    @property
    def pid(self) -> int:
        """Process id of the running child; 0 when there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the child; `wait_ready` tells when it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PLAUDIT_CONFIG": str(self.config)}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "plaudit", "up", "--port", str(self.port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.starts += 1

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, timeout_seconds: float = 180.0) -> float:
        """Seconds until `/readyz` answered 200. Raises UpFailed with the end of the log."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_seconds:
            if not self.alive():
                break
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2.0).status_code == 200:
                    return time.monotonic() - started
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        tail = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
        raise UpFailed(f"`plaudit up` did not become ready; the end of {self.log}:\n{tail}")

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        if self._process is not None and self.alive():
            self._process.kill()
            self._process.wait()

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """SIGTERM, then SIGKILL after the timeout. Returns the exit code."""
        if self._process is None:
            return 0
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return int(self._process.returncode)
