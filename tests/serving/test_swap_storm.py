"""Swaps and rollbacks under load: no request fails or breaks off, and every answer was made by the adapter it names."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.contracts import AdapterVersion, Interaction
from infra.models.loading import LoadedModel
from infra.models.logprobs import sequence_logprobs
from infra.models.merging import merged_copy
from infra.runtime import Context
from tests.serving.conftest import Served, set_champion, wait_until

VERSIONS = 4
LIMIT_SECONDS = 1.0
SHORT, LONG = 20, 200


@dataclass(frozen=True)
class Seen:
    """One response as its caller saw it."""

    sent: float
    came: float
    response_id: str
    adapter: str
    stream: bool
    problem: str


class Crowd:
    """People who ask again as soon as they are answered; every second answer is streamed."""

    def __init__(self, served: Served, people: int = 3) -> None:
        self.seen: list[Seen] = []
        self._url = served.url
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(people)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def first_after(self, instant: float, ref: str) -> Seen | None:
        """The first answer by `ref` of those that were asked after the instant."""
        return min(
            (s for s in list(self.seen) if s.sent > instant and s.adapter == ref), key=lambda s: s.came, default=None
        )

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            turn = 0
            while not self._stopping.is_set():
                turn += 1
                body = {
                    "model": "plaudit", "messages": [{"role": "user", "content": f"Question {number}.{turn}"}],
                    "max_tokens": 6, "stream": turn % 2 == 0, "user": f"user-{number}",
                }  # fmt: skip
                self.seen.append(self._answered(client, body))

    def _answered(self, client: httpx.Client, body: dict[str, Any]) -> Seen:
        sent = time.monotonic()
        try:
            with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                content = answer.read().decode()
            headers = answer.headers
            problem = "" if answer.status_code == 200 else f"{answer.status_code}: {content[:200]}"
            problem = problem or (_stream_problem(content) if body["stream"] else _plain_problem(content))
        except httpx.HTTPError as error:
            return Seen(sent, time.monotonic(), "", "", body["stream"], repr(error))
        ids = headers.get("x-plaudit-response-id", ""), headers.get("x-plaudit-adapter", "")
        return Seen(sent, time.monotonic(), *ids, body["stream"], problem)


def _plain_problem(content: str) -> str:
    (choice,) = json.loads(content)["choices"]
    return "" if choice["finish_reason"] in ("stop", "length") else f"ended with {choice['finish_reason']!r}"


def _stream_problem(content: str) -> str:
    events = [line.removeprefix("data: ") for line in content.split("\n\n") if line]
    if not events or events[-1] != "[DONE]":
        return f"truncated: {content[-200:]}"
    documents = [json.loads(event) for event in events[:-1]]
    reasons = [choice["finish_reason"] for one in documents for choice in one.get("choices", [])]
    return "" if reasons and reasons[-1] in ("stop", "length") else f"no finish_reason: {content[-200:]}"


@pytest.fixture
def stormy(context: Context, make_adapter: Callable[..., AdapterVersion]) -> Iterator[tuple[Served, dict[str, Path]]]:
    serving = context.settings.serving.model_copy(update={"reconcile_every_seconds": 0.05})
    settings = context.settings.model_copy(update={"serving": serving})
    folders = {}
    for version in range(1, VERSIONS + 1):
        made = make_adapter("kind", version, seed=version)
        folders[made.ref] = Path(made.path)
    set_champion(context.database, "kind@1")
    served = Served(Context(settings, context.clock, context.database, context.event_log))
    served.start()  # ready with the base, the champion's predecessor
    wait_until(lambda: "kind@1" in served.models())
    yield served, folders
    served.stop()


def storm(served: Served, crowd: Crowd, swaps: int) -> list[float]:
    """Promote one after the other, take every third back; seconds from each rollback to its first answer."""
    database, rollbacks, champion, before = served.context.database, list[float](), "kind@1", "base"
    for number in range(swaps):
        back = number % 3 == 2
        target = before if back else f"kind@{1 + (int(champion.partition('@')[2] or 0) + number % 2) % VERSIONS}"
        set_champion(database, target, target if back else champion)
        moved = time.monotonic()
        wait_until(lambda: crowd.first_after(moved, target) is not None)  # noqa: B023
        first = crowd.first_after(moved, target)
        assert first is not None
        if back:
            rollbacks.append(first.came - moved)
        champion, before = target, target if back else champion
    return rollbacks


def made_by(loaded: LoadedModel, folders: dict[str, Path], logged: list[Interaction]) -> dict[str, tuple[str, float]]:
    """By response: the adapter whose log-probabilities are nearest to those logged, and how near, nats a token."""
    prompts = [item.prompt_token_ids for item in logged]
    tokens = [item.answers[0].token_ids for item in logged]
    distances: dict[str, list[float]] = {}
    for ref in ("base", *folders):
        model = loaded.model if ref == "base" else merged_copy(loaded, folders[ref])
        scores = sequence_logprobs(loaded, prompts, tokens, model=model, micro_batch=32)
        distances[ref] = [
            sum(abs(a - b) for a, b in zip(score, item.answers[0].logprobs_raw, strict=True)) / len(score)
            for score, item in zip(scores, logged, strict=True)
        ]
    nearest = [min(distances, key=lambda ref: distances[ref][place]) for place in range(len(logged))]
    return {
        item.response_id: (ref, distances[ref][i]) for i, (item, ref) in enumerate(zip(logged, nearest, strict=True))
    }


@pytest.mark.timeout(1800)  # of all swaps together; each rollback has its second
@pytest.mark.parametrize("swaps", [SHORT, pytest.param(LONG, marks=pytest.mark.full)])
def test_no_swap_fails_a_request_and_every_answer_names_what_made_it(
    swaps: int, stormy: tuple[Served, dict[str, Path]], tiny_loaded: LoadedModel
) -> None:
    served, folders = stormy
    crowd = Crowd(served)
    try:
        rollbacks = storm(served, crowd, swaps)
    finally:
        crowd.stop()
    assert [seen for seen in crowd.seen if seen.problem] == []
    assert {seen.stream for seen in crowd.seen} == {True, False}
    assert len({seen.adapter for seen in crowd.seen}) >= VERSIONS
    logged = {item.response_id: item for item in served.logged()}
    answered = [seen for seen in crowd.seen if seen.response_id]
    assert len(answered) == len(crowd.seen)
    assert {seen.response_id for seen in answered} <= set(logged)
    found = made_by(tiny_loaded, folders, list(logged.values()))
    wrong = [(seen, found[seen.response_id]) for seen in answered if found[seen.response_id][0] != seen.adapter]
    assert wrong == []
    assert max(distance for _, distance in found.values()) < 1e-3
    assert {logged[seen.response_id].adapter == seen.adapter for seen in answered} == {True}
    print(f"{len(answered)} answers, {swaps} swaps; rollbacks in {max(rollbacks):.2f} s at most")
    assert max(rollbacks) < LIMIT_SECONDS
