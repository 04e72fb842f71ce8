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
"""The first request also imports the verifier's library; on a busy machine that takes a while."""
NOTHING = float("nan")


class VerifierFailed(PlauditError):
    """The verifier's process cannot do its work at all (as opposed to one answer that it could not judge)."""

    code = "verifier_failed"


class VerifierChild:
    """Asks a child process, with a deadline an answer. The child starts when first asked, and again after a kill.

    `seconds`: longest wait for one answer. `timeouts` counts the answers given up. Not safe in several threads.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.timeouts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._fresh = True

    def ask(self, request: dict[str, Any]) -> float:
        """1 right, 0 wrong, NaN when the verifier says nothing: it did not know, failed on this text, or took longer
        than the deadline and was killed. Raises VerifierFailed when its process cannot run."""
        process = self._running()
        deadline = time.monotonic() + (START_SECONDS if self._fresh else self.seconds)
        try:
            self._write(process, json.dumps(request).encode() + b"\n", deadline)
            line = self._line(process, deadline)
        except TimeoutError:
            self.timeouts += 1
            log.warning("verifier_gave_up", kind=request["kind"], seconds=self.seconds, timeouts=self.timeouts)
            self.close()
            return NOTHING
        except OSError as error:
            self.close()
            raise VerifierFailed(
                f"the verifier's process ended while it judged {request['kind']} ({error}): run `{sys.executable} "
                f"{PROGRAM}` by hand to see why"
            ) from error
        self._fresh = False
        reply = json.loads(line)
        if "error" in reply:
            log.warning("verifier_failed_on_answer", kind=request["kind"], error=str(reply["error"])[:200])
            return NOTHING
        return NOTHING if reply["value"] is None else float(reply["value"])

    def close(self) -> None:
        """End the child, whatever it is doing."""
        process, self._process, self._buffer, self._fresh = self._process, None, b"", True
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
