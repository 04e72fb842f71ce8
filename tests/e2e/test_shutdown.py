"""SIGTERM in the middle of everything: what was begun is finished, what was acknowledged is kept, and the exit is 0."""

import json
import threading
import time
from typing import Any

import httpx
import pytest

from infra.contracts import uuid7
from tests.e2e.audit import check_exactly_once, drain
from tests.e2e.deployment import Deployment
from tests.e2e.traffic import PROMPTS
from tests.fixtures.helpers import wait_until

TOKENS = 300
BATCH = 200


@pytest.mark.timeout(300)
def test_sigterm_in_the_middle_of_an_answer_and_of_batches(running: Deployment) -> None:
    prompt, answer_id = endless(running.url)
    sender, stream = Sender(running.url, answer_id), Streamer(running.url, prompt)
    stream.thread.start()
    wait_until(lambda: stream.chunks > 3, 60.0, "the stream to begin", 0.001)
    sender.thread.start()
    wait_until(lambda: len(sender.acknowledged) > 0, 60.0, "the first batch", 0.001)
    assert not stream.finished.is_set(), "too fast: the answer was over before the signal"
    exit_code = running.up.stop(40.0)  # SIGTERM, and SIGKILL after the timeout
    stream.thread.join(10)
    sender.thread.join(10)

    assert exit_code == 0, running.logs()
    said = running.up.log.read_text().splitlines()
    assert any(line.startswith(f"ready at {running.url}/v1") for line in said)
    assert said[-1] == "ended in order"
    assert stream.failure is None
    assert stream.finish_reason == "length"
    assert stream.done, "the stream was cut off"
    assert sender.refused, "batches went on until there was nobody to take them"
    with running.opened() as context:
        drain(context)
        check_exactly_once(context, sender.sent, sender.acknowledged, [answer_id, stream.response_id])


def greedy(prompt: str, **more: Any) -> dict[str, Any]:
    """A request whose answer depends on nothing but the prompt."""
    messages = [{"role": "user", "content": prompt}]
    return {"model": "base", "messages": messages, "max_tokens": TOKENS, "temperature": 0.0, **more}


def endless(url: str) -> tuple[str, str]:
    """A prompt that the random model answers at full length, and the id of that answer."""
    for prompt in PROMPTS:
        response = httpx.post(f"{url}/v1/chat/completions", json=greedy(prompt), timeout=60)
        assert response.status_code == 200, response.text
        answer = response.json()
        if answer["choices"][0]["finish_reason"] == "length":
            return prompt, answer["id"]
    raise AssertionError("every answer of the tiny model ends early: choose another seed for it")


class Streamer:
    """One long streamed answer, read to its end in a thread."""

    def __init__(self, url: str, prompt: str) -> None:
        self.chunks, self.done, self.finish_reason, self.response_id = 0, False, "", ""
        self.failure: Exception | None = None
        self.finished = threading.Event()
        self.thread = threading.Thread(target=self._read, args=(url, prompt), daemon=True)

    def _read(self, url: str, prompt: str) -> None:
        body = greedy(prompt, stream=True)
        try:
            with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as response:
                self.response_id = response.headers["x-plaudit-response-id"]
                for line in response.iter_lines():
                    self._take(line)
        except Exception as error:
            self.failure = error
        self.finished.set()

    def _take(self, line: str) -> None:
        if line == "data: [DONE]":
            self.done = True
        elif line.startswith("data: "):
            self.chunks += 1
            choices = json.loads(line[6:])["choices"]
            self.finish_reason = (choices[0].get("finish_reason") if choices else "") or self.finish_reason


class Sender:
    """Batches of feedback, one after the other, until nobody takes them."""

    def __init__(self, url: str, response_id: str) -> None:
        self.sent: dict[str, dict[str, Any]] = {}
        self.acknowledged: list[str] = []
        self.refused = False
        self._response_id = response_id
        self.thread = threading.Thread(target=self._send, args=(url,), daemon=True)

    def _send(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                batch = [self._event() for _ in range(BATCH)]
                self.sent |= {event["event_id"]: event for event in batch}
                try:
                    response = client.post("/v1/feedback", json=batch)
                except httpx.TransportError:
                    self.refused = True
                    return
                assert response.status_code in (202, 503), response.text
                if response.status_code == 202:
                    self.acknowledged += [result["event_id"] for result in response.json()["results"]]

    def _event(self) -> dict[str, Any]:
        return {
            "event_id": str(uuid7()),
            "response_id": self._response_id,
            "signal": "dwell",
            "value": time.time() % 60,
        }
