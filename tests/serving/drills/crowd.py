"""People who ask without end, each from a thread of its own, and what became of every request."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.serving.drills.plant import GatewayPlant, Streamed, asked


@dataclass
class Crowd:
    """`completed`: ids of responses that came whole. `cut`: transport errors. `late`: requests in `longest_seconds`."""

    plant: GatewayPlant
    size: int = 4
    completed: set[str] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    failed_streams: int = 0
    unpromised: int = 0
    cut: int = 0
    longest_seconds: float = 0.0

    def __enter__(self) -> "Crowd":
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(place,), daemon=True) for place in range(self.size)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120.0)
        assert not any(thread.is_alive() for thread in self._threads), "a request was never answered"

    def _ask(self, place: int) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._stream() if place % 2 else self._plain()
            except httpx.TransportError:
                self._count("cut")
                self._stop.wait(0.05)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)

    def _plain(self) -> None:
        answer = self.plant.client.post("/v1/chat/completions", json=asked())
        self._status(answer)
        if answer.status_code == 200:
            self._complete(answer.json()["id"])

    def _stream(self) -> None:
        stream = Streamed(self.plant, asked(stream=True))
        try:
            self._status(stream.response)
            stream.read()
        finally:
            stream.close()
        if stream.done:
            self._complete(stream.response_id)
        elif stream.response.status_code == 200:
            self._count("failed_streams")

    def _status(self, answer: httpx.Response) -> None:
        with self._lock:
            self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        if answer.status_code in (429, 503):
            if not answer.headers.get("retry-after"):
                self._count("unpromised")
            self._stop.wait(0.05)

    def _complete(self, response_id: str) -> None:
        with self._lock:
            self.completed.add(response_id)

    def _count(self, what: str) -> None:
        with self._lock:
            setattr(self, what, getattr(self, what) + 1)
