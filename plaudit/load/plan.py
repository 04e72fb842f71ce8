"""What to send, to whom, how often and for how long."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec

from infra.contracts import PlauditError

Messages = list[dict[str, Any]]

BUILT_IN = (
    "How can I fall asleep faster?",
    "What is the capital of Norway?",
    "Write a polite note to a neighbour about loud music.",
    "Explain tides to a child of eight in three sentences.",
    "Give me five ideas for a packed lunch without meat.",
    "What is the difference between weather and climate?",
    "Translate to French: the train leaves at nine tomorrow.",
    "My houseplant has yellow leaves. What should I check first?",
    "Summarise in one sentence why bread rises.",
    "Name three things to look at before buying a used bicycle.",
    "How do I ask my manager for a day off?",
    "What does a compiler do?",
    "Suggest a title for a photo of a harbour at dawn.",
    "How many minutes are there in a week?",
    "What should I pack for a weekend in the mountains?",
    "Why do onions make people cry?",
)
"""Prompts of every length that people really send first; a file brings others."""


class BadLoad(PlauditError):
    """A load that cannot be put on as it was asked for."""

    code = "bad_load"


@dataclass(frozen=True)
class Plan:
    """`rate` (requests/s; open loop) or `concurrency` (requests at a time; closed loop), for `seconds`.

    `users` > 0 spreads the requests over so many user ids. `timeout_seconds` limits each request, from its real start.
    `in_flight` limits what an open loop has under way; what waits for it waits on the clock of its intended start.
    """

    url: str
    model: str = "plaudit"
    api_key: str | None = None
    concurrency: int = 8
    rate: float | None = None
    steady: bool = False
    seconds: float = 30.0
    stream: bool = True
    max_tokens: int = 64
    users: int = 0
    timeout_seconds: float = 120.0
    in_flight: int = 1000
    seed: int = 0

    @property
    def target(self) -> tuple[bool, str, int, str]:
        """(TLS, host, port, path of chat completions). Raises BadLoad."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadLoad(f"{self.url!r} is no address: give http://HOST:PORT or http://HOST:PORT/v1", field="url")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise BadLoad(f"{self.url!r} names no port from 1 to 65535", field="url") from None
        path = parts.path.rstrip("/")
        return parts.scheme == "https", parts.hostname, port, f"{path or '/v1'}/chat/completions"


def read_prompts(path: Path | None) -> list[Messages]:
    """The built-in prompts, or those of a file: a `.jsonl` of `{"messages": [...]}` or `{"prompt": "..."}`, or a text
    with one prompt a line. Raises BadLoad."""
    if path is None:
        return [_asked(text) for text in BUILT_IN]
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadLoad(f"{path} cannot be read ({error})", field="prompts") from None
    if not lines:
        raise BadLoad(f"{path} holds no prompt: write one a line", field="prompts")
    if path.suffix != ".jsonl":
        return [_asked(line.strip()) for line in lines]
    return [_read_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def bodies(plan: Plan, prompts: Sequence[Messages]) -> Iterator[bytes]:
    """Request bodies without end: every prompt once in a random order, then in another one. Deterministic in the seed.

    A stream is asked for its usage, for tokens cannot be counted from outside otherwise.
    """
    draw, number = Random(plan.seed), 0
    order = list(prompts)
    while True:
        draw.shuffle(order)
        for messages in order:
            body: dict[str, Any] = {"model": plan.model, "messages": messages, "max_tokens": plan.max_tokens}
            if plan.stream:
                body |= {"stream": True, "stream_options": {"include_usage": True}}
            if plan.users:
                body["user"] = f"load-{number % plan.users}"
            number += 1
            yield msgspec.json.encode(body)


def starts(plan: Plan, rate: float) -> Iterator[float]:
    """Intended starts in seconds, without end: every 1/rate s, or at random as independent people come (Poisson)."""
    draw, at = Random(plan.seed + 1), 0.0
    while True:
        yield at
        at += 1.0 / rate if plan.steady else draw.expovariate(rate)


def _asked(text: str) -> Messages:
    return [{"role": "user", "content": text}]


def _read_line(line: str, where: str) -> Messages:
    try:
        document = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise BadLoad(f"{where} is no JSON ({error})", field="prompts") from None
    if isinstance(document, dict):
        messages, prompt = document.get("messages"), document.get("prompt")
        if isinstance(messages, list) and messages and all(isinstance(one, dict) for one in messages):
            return messages
        if isinstance(prompt, str) and prompt:
            return _asked(prompt)
    raise BadLoad(f'{where} is neither {{"messages": [...]}} nor {{"prompt": "..."}}', field="prompts")
