"""Child processes of the scheduler: they die with it, yield to it, and take nothing with them when they crash."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from infra.runtime.processes import process_name
from infra.settings import Settings, child_environment, write_resolved

log = structlog.get_logger()

BOOTSTRAP = Path(__file__).with_name("child_bootstrap.py")
GRACE_SECONDS = 5.0
"""Between the request to end (SIGTERM) and the end (SIGKILL)."""
LOG_LIMIT_BYTES = 16 * 1024 * 1024
SPIN_LIMIT = {"GOMP_SPINCOUNT": "1000"}
"""Threads that spin while they wait would take the cores from the gateway; see `plaudit.cli.main`."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS")


@dataclass(frozen=True)
class ChildEnd:
    """How a child ended. `process` is its name in leases; `code` as `subprocess` gives it: negative for a signal."""

    process: str
    code: int
    reason: str

    @property
    def detail(self) -> str:
        """For people: exit code or signal, and why it was sent."""
        if self.code < 0:
            name = signal.Signals(-self.code).name
            return f"ended by {name}" + (f": {self.reason}" if self.reason else "")
        return f"exit code {self.code}" + (f": {self.reason}" if self.reason else "")


def run_child(
    settings: Settings, name: str, command: list[str], deadline_seconds: float, stop: threading.Event
) -> ChildEnd:
    """Run `command` as a child and wait for it; on `stop` or after the deadline, end it and its own children.

    It sees exactly `settings` (through a file of mode 600), has capped threads, and writes to
    `data_dir/logs/<name>.log`. Call it from a thread that lives as long as the child: the kernel binds the two.
    """
    path = settings.data_dir / "logs" / f"{name}.log"
    with _open_log(path) as output:
        process = subprocess.Popen(
            [sys.executable, "-I", str(BOOTSTRAP), str(os.getpid()), str(settings.jobs.child_niceness), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(settings),
            start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone, which then ends us in order
        )
    identity = process_name(process.pid)
    log.info("child_started", job=name, pid=process.pid, log=str(path))
    reason = _wait(process, deadline_seconds, stop)
    end = ChildEnd(identity, process.returncode, reason)
    log.info("child_ended", job=name, pid=process.pid, detail=end.detail)
    return end


def _wait(process: subprocess.Popen[bytes], deadline_seconds: float, stop: threading.Event) -> str:
    """Wait for the end, or bring it about; returns why it was brought about, '' when it was not."""
    deadline = time.monotonic() + deadline_seconds
    reason = ""
    while not reason:
        try:
            process.wait(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            if stop.is_set():
                reason = "the parent shuts down"
            elif time.monotonic() > deadline:
                reason = f"over its deadline of {deadline_seconds:g} s"
    if reason:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    _signal(process, signal.SIGKILL)  # what the child itself may have left running
    return reason


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # its group is empty
        os.killpg(process.pid, number)


def _environment(settings: Settings) -> dict[str, str]:
    config = settings.data_dir / "run" / "settings.toml"
    write_resolved(settings, config)
    threads = str(settings.jobs.child_threads or len(os.sched_getaffinity(0)))
    given = {**SPIN_LIMIT, **child_environment(config)}
    return {**given, **dict.fromkeys(THREAD_VARIABLES, threads), "PYTHONUNBUFFERED": "1"}


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
