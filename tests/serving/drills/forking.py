"""Gateways forked from a process that has imported everything: `python -m tests.serving.drills.forking`.

Importing torch and transformers takes seconds of computing at every start; a fork takes milliseconds. Each gateway is a
process of its own all the same: it is killed, stopped and waited for like any other.

Orders come one a line as JSON: `{"start": ...}` is answered with a process id, `{"wait": pid}` with an exit code.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fixtures.zygote import ROOT, become

PRELOADED = (
    "plaudit.cli",
    "torch",
    "transformers.models.llama.modeling_llama",
    "peft",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "infra.db.migration",
    "infra.event_log.embedded.log",
    "serving.app",
)


class Forking:
    """The process that is forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.serving.drills.forking"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, arguments: tuple[str, ...], environment: dict[str, str], output: Path) -> int:
        """The process id of `plaudit` with these arguments."""
        order = {"arguments": arguments, "environment": environment, "out": str(output), "err": f"{output}.err"}
        return self._ask({"start": order})

    def wait(self, process: int) -> int:
        """The exit code of a process that has ended or is about to; negative: the signal that ended it."""
        return self._ask({"wait": process})

    def close(self) -> None:
        """It ends when nobody can give it an order any more."""
        with self._process:
            pass

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    """Carry out orders until there are no more."""
    for module in PRELOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            child = os.fork()
            if child == 0:
                become(order["start"])
            print(child, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
