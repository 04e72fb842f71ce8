"""A stream of reactions with everything a real one has: repetitions, disorder, delay, wrong clocks, changed minds.

Deterministic in its seed. Every event is sent until it is acknowledged, by several senders at once.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.contracts import uuid7

_SIGNALS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("like", {}),
    ("dislike", {}),
    ("dwell", {"value": 3.5}),
    ("dwell", {"value": 12.0}),
    ("copy", {}),
    ("rating", {"value": 0.75}),
    ("share", {}),
    ("like", {"operation": "withdraw"}),
    ("comment", {"text": "so and so"}),
)


def reactions(seed: int, answers: int) -> list[dict[str, Any]]:
    """Wire events about `answers` answers, some twice, in random order. Senders' clocks are off by up to an hour."""
    draw = random.Random(seed)
    names = [f"answer-{uuid7()}" for _ in range(answers)]
    events: list[dict[str, Any]] = []
    for name in names:
        skew, now = draw.uniform(-3600, 3600), time.time()
        for signal, more in [("shown", {}), *draw.sample(_SIGNALS, draw.randint(1, 4))]:
            event = {"event_id": str(uuid7()), "response_id": name, "signal": signal, **more}
            event |= {"user": f"person-{draw.randrange(50)}"}
            event |= {"created_at": now + skew - draw.uniform(0, 30), "sent_at": now + skew}
            events.append(event)
        if draw.random() < 0.2:
            other = draw.choice([one for one in names if one != name])
            events.append({"event_id": str(uuid7()), "response_id": name, "signal": "duel", "other_response_id": other})
    events += draw.sample(events, len(events) // 10)
    draw.shuffle(events)
    return events


def interactions(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers the events are about, as imports."""
    return [
        {
            "response_id": name,
            "messages": [{"role": "user", "content": "What is a tide?"}],
            "answers": ["The moon does it all."],
            "user": "owner",
            "created_at": time.time(),
        }
        for name in sorted({event["response_id"] for event in events})
    ]


@dataclass
class Sender:
    """Posts batches one after another from a thread of its own, each until it is acknowledged."""

    url: str
    path: str
    batches: list[Any]
    pause_seconds: float = 0.0
    acknowledged: set[str] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    longest_seconds: float = 0.0
    problem: str = ""

    def start(self) -> "Sender":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def join(self, timeout_seconds: float) -> None:
        """Wait until every batch was acknowledged. Raises AssertionError when one was refused, or after the timeout."""
        self._thread.join(timeout_seconds)
        late = self._thread.is_alive()
        self._stop.set()
        assert not self.problem, self.problem
        assert not late, f"not everything was acknowledged within {timeout_seconds} s: {self.statuses}"

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=15.0) as client:
            for batch in self.batches:
                started = time.monotonic()
                while not self._stop.is_set() and not self._sent(client, batch):
                    time.sleep(0.05)
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)
                if self.pause_seconds:
                    time.sleep(self.pause_seconds)

    def _sent(self, client: httpx.Client, batch: Any) -> bool:
        try:
            response = client.post(self.path, json=batch)
        except httpx.TransportError:
            self.statuses[0] = self.statuses.get(0, 0) + 1
            return False
        self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
        if response.status_code in (429, 503):
            return False
        document = response.json()
        if response.status_code != 202 or document["rejected"]:
            self.problem = f"{response.status_code}: {response.text[:500]}"
        self.acknowledged |= {one.get("event_id") or one["response_id"] for one in document.get("results", [])}
        return True


def send(
    url: str, events: list[dict[str, Any]], *, senders: int = 2, batch: int = 20, seconds: float = 0.0
) -> list[Sender]:
    """Start sending events, and the interactions they are about in the middle of it; spread over `seconds`."""
    batches = [events[i : i + batch] for i in range(0, len(events), batch)]
    about = interactions(events)
    shares = [batches[i::senders] for i in range(senders)]
    started = [
        Sender(url, "/v1/feedback", share, pause_seconds=seconds / max(1, len(share))).start() for share in shares
    ]
    imports = [about[i : i + batch] for i in range(0, len(about), batch)]
    return [*started, Sender(url, "/v1/interactions", imports, pause_seconds=seconds / max(1, len(imports))).start()]
