"""People who go on using the service through its crashes, sending the same event ids again until they are taken."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.contracts import uuid7
from plaudit.people.client import AppClient, Receipts

PROMPTS = [f"{verb} {subject}?" for verb in ("What is", "Why is there", "Who likes", "How old is") for subject in (
    "the sea", "snow", "a tree", "bread", "the moon", "rust", "music", "a clock", "tea", "sleep"
)]  # fmt: skip


class Traffic:
    """Visitors in a thread of their own. `sent` holds every event by id, as it was first sent."""

    def __init__(self, url: str, seed: int, visitors: int = 3) -> None:
        self.sent: dict[str, dict[str, Any]] = {}
        self.receipts = Receipts()
        self.failure: BaseException | None = None
        self._url, self._seed, self._visitors = url, seed, visitors
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Visitors end after what they are doing now."""
        self._stop.set()

    def stop(self) -> None:
        """Let every visitor finish what they are doing. Raises what went wrong for them."""
        self.ask_to_stop()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            asyncio.run(self._crowd())
        except BaseException as error:
            self.failure = error

    async def _crowd(self) -> None:
        async with AppClient(self._url, patience_seconds=90.0) as client, asyncio.TaskGroup() as group:
            self.receipts = client.receipts
            for number in range(self._visitors):
                group.create_task(self._visitor(client, number))

    async def _visitor(self, client: AppClient, number: int) -> None:
        draw = random.Random(f"{self._seed}/{number}")
        turn, before = 0, ""
        while not self._stop.is_set():
            turn += 1
            messages = [{"role": "user", "content": draw.choice(PROMPTS)}]
            reply = await client.chat(messages, user=f"v{number}-{turn // 3}", max_tokens=6, temperature=1.0)
            events = reactions(reply.response_id, before, draw)
            self.sent |= {event["event_id"]: event for event in events}
            await client.react(events)
            if draw.random() < 0.1:  # a phone that did not hear the answer
                await client.react(events)
            before = reply.response_id
            await asyncio.sleep(0.15)


@contextmanager
def traffic(url: str, seed: int, visitors: int = 3) -> Iterator[Traffic]:
    """Visitors for as long as the block lasts; at its end all of them have been served."""
    crowd = Traffic(url, seed, visitors)
    crowd.start()
    try:
        yield crowd
    except BaseException:
        crowd.ask_to_stop()
        raise
    crowd.stop()


def reactions(response_id: str, before: str, draw: random.Random) -> list[dict[str, Any]]:
    """What one visitor does with one answer: some like it, some change their mind, some compare it with another."""
    now = time.time()

    def event(signal: str, later: float = 0.0, **more: Any) -> dict[str, Any]:
        return {
            "event_id": str(uuid7()),
            "response_id": response_id,
            "signal": signal,
            "created_at": now - 0.1 + later,
            **more,
        }

    events = [event("shown")]
    vote = draw.random()
    if vote < 0.5:
        events.append(event("like" if vote < 0.3 else "dislike", 0.01))
    if vote < 0.05:
        events.append(event("like", 0.02, operation="withdraw"))
    if draw.random() < 0.3:
        events.append(event("dwell", 0.03, value=draw.uniform(0.5, 9.0)))
    if before and draw.random() < 0.2:
        events.append(event("duel", 0.04, other_response_id=before))
    draw.shuffle(events)
    return events
