"""What the engine is held against: transformers' `generate`, one request at a time, and `transformers serve`."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import torch

from infra.models.loading import LoadedModel
from tests.benchmarks.serving_chats import Chat, Taken
from tests.fixtures.helpers import free_port

START_SECONDS = 180.0


def one_at_a_time(loaded: LoadedModel, asked: Sequence[Chat]) -> Taken:
    """`generate` for each request, the next when the one before has ended; greedy, the same model in memory."""
    start, tokens = time.perf_counter(), 0
    for chat in asked:
        ids = torch.tensor([list(chat.prompt)], device=loaded.device)
        out = loaded.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=chat.max_tokens,
            do_sample=False,
            pad_token_id=loaded.pad_id,
        )
        tokens += out.shape[1] - ids.shape[1]
    return Taken(tokens, time.perf_counter() - start)


class TransformersServe:
    """`transformers serve` in a process of its own on the same folder, with continuous batching or without. It is
    stopped by a signal while others are measured."""

    def __init__(self, folder: Path, dtype: str, threads: int, log: Path, *, continuous: bool) -> None:
        self.name = "transformers serve, continuous batching" if continuous else "transformers serve"
        self._port = free_port()
        self._folder = folder
        options = ["--continuous-batching", "--cb-num-blocks", "256", "--cb-max-batch-tokens", "512"]
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
        command += ["--device", "cpu", "--dtype", dtype, "--host", "127.0.0.1", "--port", str(self._port)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command + (options if continuous else []), stdout=out, stderr=subprocess.STDOUT, env=environment
            )

    @staticmethod
    def missing() -> str | None:
        """Why it cannot be run here, if so."""
        needed = ("fastapi", "uvicorn", "openai")
        absent = [name for name in needed if importlib.util.find_spec(name) is None]
        return f"{', '.join(absent)} not installed" if absent else None

    def ready(self) -> str | None:
        """Wait until it answers; why it does not, if so."""
        deadline = time.monotonic() + START_SECONDS
        said = "did not start in time"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return f"it ended with {self._process.returncode}: {self._tail()}"
            try:
                self._ask("Hello", 2)
            except httpx.TransportError:
                time.sleep(0.5)
            except (httpx.HTTPStatusError, KeyError, TypeError, ValueError) as error:
                said = f"{error}: {self._tail()}"
                break
            else:
                self.pause()
                return None
        return said

    def measure(self, asked: Sequence[Chat]) -> Taken:
        """All requests at once, each by a client of its own; greedy, not streamed."""
        self._process.send_signal(signal.SIGCONT)
        try:
            with ThreadPoolExecutor(len(asked)) as pool:
                start = time.perf_counter()
                tokens = list(pool.map(lambda chat: self._ask(chat.messages[0].content, chat.max_tokens), asked))
                return Taken(sum(tokens), time.perf_counter() - start)
        finally:
            self.pause()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, content: str, max_tokens: int) -> int:
        """Tokens of the answer."""
        body = {
            "model": str(self._folder),
            "messages": [{"role": "user", "content": content}],
            "max_tokens": max_tokens,
            "temperature": 0.0,
        }
        answer = httpx.post(f"http://127.0.0.1:{self._port}/v1/chat/completions", json=body, timeout=300)
        answer.raise_for_status()
        return int(answer.json()["usage"]["completion_tokens"])

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-400:].strip()
