"""A recording over HTTP: batches, retries, and an account of what was refused."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.contracts import PlauditError
from plaudit.replay.recording import Recording

INTERACTIONS_PER_REQUEST = 200
EVENTS_PER_REQUEST = 1000
_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 10.0

Advance = Callable[[int], None]


class SendFailed(PlauditError):
    """The API did not take a batch."""

    code = "replay_send_failed"
    status = 503


@dataclass
class Sent:
    """What became of the items: accepted, and refused by reason with one example each."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


def send(recording: Recording, url: str, advance: Advance) -> tuple[Sent, Sent]:
    """Send answers, then judgments; returns what became of both. Calls `advance(items)` a batch. Raises SendFailed."""
    with httpx.Client(base_url=url, timeout=60.0) as client:
        interactions = _send(
            client, "/v1/interactions", "interactions", recording.interactions, INTERACTIONS_PER_REQUEST, advance
        )
        events = _send(client, "/v1/feedback", "events", recording.events, EVENTS_PER_REQUEST, advance)
    return interactions, events


def _send(
    client: httpx.Client, path: str, key: str, items: list[dict[str, Any]], per_request: int, advance: Advance
) -> Sent:
    sent = Sent()
    for start in range(0, len(items), per_request):
        batch = items[start : start + per_request]
        document = _post(client, path, {key: batch})
        for result in document["results"]:
            if result["status"] == "accepted":
                sent.accepted += 1
            else:
                problem = result.get("error") or {}
                sent.refused[problem.get("code", "unknown")] += 1
                sent.examples.setdefault(problem.get("code", "unknown"), problem.get("message", ""))
        advance(len(batch))
    return sent


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One batch; 429, 503 and lost connections are tried again, since ids make an item count once."""
    pause, problem = 0.25, ""
    for _ in range(_ATTEMPTS):
        try:
            response = client.post(path, json=body)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if response.status_code in (202, 422):
                document: dict[str, Any] = response.json()
                if "results" in document:
                    return document
            if response.status_code not in (429, 503):
                raise SendFailed(f"{client.base_url}{path} answered {response.status_code}: {response.text[:300]}")
            problem = f"HTTP {response.status_code}"
            pause = max(pause, float(response.headers.get("Retry-After", 0)))
        time.sleep(min(pause, _LONGEST_PAUSE_SECONDS))
        pause *= 2
    raise SendFailed(
        f"{client.base_url}{path} did not take a batch after {_ATTEMPTS} attempts ({problem}): is the feedback API "
        "running there? What was accepted stays; run the same command again"
    )
