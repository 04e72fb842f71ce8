"""What a person's app does: ask, show the answer, send reactions; and try again when the service is away.

Every event id is made once and kept through retries, so that a reaction counts once however often it is sent.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.contracts import PlauditError, uuid7

RETRYABLE = frozenset({429, 500, 502, 503, 504})


class ServiceGone(PlauditError):
    """The service did not come back within the patience of the client."""

    code = "service_gone"
    status = 503


@dataclass(frozen=True)
class Reply:
    """One answer as a client sees it. `latency_seconds` covers the successful attempt alone."""

    response_id: str
    conversation_id: str
    text: str
    adapter: str
    latency_seconds: float
    finish_reason: str


@dataclass
class Receipts:
    """What the service has acknowledged: the yardstick of 'nothing accepted is lost, nothing counts twice'."""

    answers: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    retries: int = 0


class AppClient:
    """An asynchronous client of one deployment. `patience_seconds` bounds how long it retries one request."""

    def __init__(self, base_url: str, *, patience_seconds: float = 120.0, connections: int = 64) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(120.0, connect=5.0),
            limits=httpx.Limits(max_connections=connections),
        )
        self._patience = patience_seconds
        self.receipts = Receipts()

    async def __aenter__(self) -> "AppClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def chat(
        self,
        messages: list[dict[str, str]],
        *,
        user: str | None = None,
        conversation_id: str | None = None,
        model: str = "plaudit",
        **sampling: Any,
    ) -> Reply:
        """One chat completion. Raises ServiceGone, or PlauditError with the server's own words."""
        body: dict[str, Any] = {"model": model, "messages": messages, **sampling}
        if user is not None:
            body["user"] = user
        conversation_id = conversation_id or str(uuid7())
        body["metadata"] = {"conversation_id": conversation_id}
        response, latency = await self._post("/v1/chat/completions", body)
        document = response.json()
        choice = document["choices"][0]
        self.receipts.answers.append(document["id"])
        return Reply(
            response_id=document["id"],
            conversation_id=conversation_id,
            text=choice["message"]["content"],
            adapter=response.headers.get("x-plaudit-adapter", ""),
            latency_seconds=latency,
            finish_reason=choice["finish_reason"],
        )

    async def until_served(self, model: str) -> None:
        """Wait until the deployment answers for `model`: an adapter has to be loaded and proven first. Raises
        ServiceGone when it is not listed within the patience."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError, ValueError):
                listed = (await self._http.get("/v1/models")).json()
                if any(one["id"] == model for one in listed.get("data", ())):
                    return
            await asyncio.sleep(0.2)
        raise ServiceGone(f"{model} was not listed by /v1/models within {self._patience:.0f} s")

    async def react(self, events: list[dict[str, Any]]) -> None:
        """Send feedback events (each with its own `event_id`) and note which were acknowledged."""
        if not events:
            return
        now = time.time()
        self.receipts.sent += [event["event_id"] for event in events]
        response, _ = await self._post("/v1/feedback", {"events": [{**event, "sent_at": now} for event in events]})
        for result in response.json()["results"]:
            if result["status"] == "accepted":
                self.receipts.events.append(result["event_id"])
            else:
                self.receipts.rejected.append(result)

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[httpx.Response, float]:
        deadline = time.monotonic() + self._patience
        pause = 0.1
        while True:
            started = time.monotonic()
            try:
                response = await self._http.post(path, json=body)
                if response.status_code < 400:
                    return response, time.monotonic() - started
                if response.status_code not in RETRYABLE:
                    raise PlauditError(f"{path} answered {response.status_code}: {response.text[:500]}")
                pause = max(pause, min(5.0, float(response.headers.get("retry-after", 0))))
            except httpx.TransportError:
                pass
            if time.monotonic() + pause > deadline:
                raise ServiceGone(f"{path} did not answer within {self._patience:.0f} s; is `plaudit up` running?")
            self.receipts.retries += 1
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 1.6)
