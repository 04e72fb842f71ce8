"""Sixteen chats at once, of skewed lengths: the load of the engine's benchmark, and how our engine takes it."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infra.contracts import Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest
from serving.engine import LocalEngine

QUESTIONS = (
    "How can I fall asleep faster?",
    "What is inflation?",
    "Why is the sky blue?",
    "How do vaccines work? Explain it step by step, as you would to a child who asks why after each sentence.",
    "Write a story about a lighthouse.",
    "My plant is dying. It stands at a north window, I water it every day, and its leaves have been turning yellow "
    "from below since I moved it to a larger pot in spring. The soil smells a little. What should I look at first, "
    "and what should I do in the next two weeks to save it?",
    "Name three rivers.",
    "Describe the plot of a detective novel in which the detective is wrong.",
)
LONGEST = (3, 4, 5, 6, 8, 10, 12, 15, 18, 21, 25, 30, 38, 50, 70, 85)
"""`max_tokens` of the chats: half of them end within 15 tokens, two take as many as twelve others. 400 in all, so that
five rounds of six contestants, the slowest at some 10 tokens a second, end within a quarter of an hour."""
QUICK = (2, 3, 4, 6)


class Chat(NamedTuple):
    messages: tuple[Message, ...]
    max_tokens: int
    prompt: tuple[int, ...]


@dataclass(frozen=True)
class Taken:
    """What a round took: tokens of the answers, seconds from the first request to the last answer, and for each chat
    the seconds to its first token (empty where it cannot be seen)."""

    tokens: int
    seconds: float
    first_tokens: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def chats(loaded: LoadedModel, quick: bool) -> list[Chat]:
    """The load: long and short answers mixed in the order in which they are asked."""
    lengths = QUICK if quick else LONGEST
    mixed = sorted(range(len(lengths)), key=lambda place: (place * 7) % len(lengths))
    found = []
    for number, place in enumerate(mixed):
        messages = (Message("user", QUESTIONS[number % len(QUESTIONS)]),)
        found.append(Chat(messages, lengths[place], tuple(render_chat(loaded, messages))))
    return found


def by_engine(engine: LocalEngine, asked: Sequence[Chat], adapters: Sequence[str]) -> Taken:
    """All at once through `submit`, greedy; the chats take the adapters in turn."""
    firsts = [0.0] * len(asked)
    lock = threading.Lock()

    def seen(number: int) -> None:
        with lock:
            firsts[number] = firsts[number] or time.perf_counter()

    start = time.perf_counter()
    requests = [
        GenerationRequest(
            chat.prompt,
            SamplingParameters(temperature=0.0, max_tokens=chat.max_tokens),
            adapters[number % len(adapters)],
            on_token=lambda *_, number=number: seen(number),  # type: ignore[misc]
            flow=str(number),
        )
        for number, chat in enumerate(asked)
    ]
    results = engine.generate(requests)
    seconds = time.perf_counter() - start
    return Taken(sum(len(result.token_ids) for result in results), seconds, tuple(at - start for at in firsts))
