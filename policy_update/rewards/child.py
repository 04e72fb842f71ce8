"""A verifier in a process of its own, which may be killed: what a model writes must not be able to stop a training."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from infra.contracts import PlauditError

log = structlog.get_logger(__name__)

PROGRAM = Path(__file__).with_name("child_program.py")
START_SECONDS = 60.0
"""Longest wait for a child that starts and imports its verifier's library; on a busy machine that takes a while."""
NOTHING = float("nan")


class VerifierFailed(PlauditError):
    """The verifier's process cannot start at all (as opposed to one answer that it could not judge)."""

    code = "verifier_failed"


class VerifierChild:
    """Asks a child process, with a deadline an answer. The child starts when first asked, and again after a kill; an
    answer's time begins when it is ready, so that a row of endless answers costs `seconds` each and no more.

    `seconds`: longest wait for one answer. `timeouts` counts the answers given up. Not safe in several threads.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.timeouts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._ready: set[str] = set()

    def ask(self, request: dict[str, Any]) -> float:
        """1 right, 0 wrong, NaN when the verifier says nothing: it did not know, failed or died on this text, or took
        longer than the deadline and was killed. Raises VerifierFailed when its process cannot start."""
        self._prepare(request["kind"])
        try:
            reply = self._exchange(request, self.seconds)
        except TimeoutError:
            self.timeouts += 1
            log.warning("verifier_gave_up", kind=request["kind"], seconds=self.seconds, timeouts=self.timeouts)
            self.close()
            return NOTHING
        except OSError as error:
            log.warning("verifier_died_of_answer", kind=request["kind"], error=str(error))
            self.close()
            return NOTHING
        if "error" in reply:
            log.warning("verifier_failed_on_answer", kind=request["kind"], error=str(reply["error"])[:200])
            return NOTHING
        return NOTHING if reply["value"] is None else float(reply["value"])

    def close(self) -> None:
        """End the child, whatever it is doing."""
        process, self._process, self._buffer, self._ready = self._process, None, b"", set()
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

    def __del__(self) -> None:
        self.close()

    def _prepare(self, kind: str) -> None:
        """A child that has imported what it needs for `kind`. Raises VerifierFailed."""
        self._running()
        if kind in self._ready:
            return
        try:
            reply = self._exchange({"kind": kind, "prepare": True}, START_SECONDS)
            failure = str(reply.get("error", ""))
        except OSError as error:  # a TimeoutError is one
            failure = str(error) or f"not ready after {START_SECONDS:g} seconds"
        if failure:
            self.close()
            raise VerifierFailed(
                f"the verifier's process for {kind} cannot start ({failure}): run `{sys.executable} {PROGRAM}` by hand "
                "to see why"
            )
        self._ready.add(kind)

    def _exchange(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to one request. Raises TimeoutError after `seconds`, another OSError where the child is gone."""
        process, deadline = self._running(), time.monotonic() + seconds
        self._write(process, json.dumps(request).encode() + b"\n", deadline)
        reply: dict[str, Any] = json.loads(self._line(process, deadline))
        return reply

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
        return self._process

    def _write(self, process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
        assert process.stdin is not None
        while data:
            _wait(process.stdin, selectors.EVENT_WRITE, deadline)
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(process.stdin.fileno(), data) :]

    def _line(self, process: subprocess.Popen[bytes], deadline: float) -> bytes:
        assert process.stdout is not None
        while b"\n" not in self._buffer:
            _wait(process.stdout, selectors.EVENT_READ, deadline)
            chunk = os.read(process.stdout.fileno(), 65_536)
            if not chunk:
                raise BrokenPipeError(f"exit code {process.wait()}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _wait(pipe: Any, event: int, deadline: float) -> None:
    """Until `pipe` is ready. Raises TimeoutError at the deadline."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
