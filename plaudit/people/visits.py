"""Visits: many people at once, each asking, reading and reacting through the public API."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.contracts import PlauditError
from plaudit.people.attributes import attributes_of
from plaudit.people.behaviour import compare, react
from plaudit.people.client import AppClient, Reply
from plaudit.people.crowd import Person, person
from plaudit.people.judge import Judge


@dataclass(frozen=True)
class VisitPlan:
    """One wave. `concurrency`: how many are there at once; somewhat more than the service answers together, so that
    none of its places stands empty and nobody waits for long. `time_scale` shrinks reading time (the demo's people read
    twenty times as fast, and say so in seconds of their own time); `max_tokens` and `temperature` go with each
    request."""

    seed: int
    first_person: int
    people: int
    prompts: Sequence[str]
    concurrency: int = 56
    time_scale: float = 0.05
    max_tokens: int = 48
    temperature: float = 0.8
    error_rate: float = 0.05
    system: str = ""

    def messages(self, prompt: str) -> list[dict[str, str]]:
        """The conversation a visit opens with."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": prompt}]


@dataclass
class WaveTally:
    """What happened in a wave."""

    visits: int = 0
    answers: int = 0
    looked_away: int = 0
    likes: int = 0
    dislikes: int = 0
    duels: int = 0
    events: int = 0


class Town:
    """The people of one seed, with their judge; a wave sends some of them to the service."""

    def __init__(self, client: AppClient, judge: Judge) -> None:
        self.client = client
        self._judge = judge
        self._thinking = asyncio.Lock()  # one embedding at a time: the judge is not what is being measured

    async def wave(
        self,
        plan: VisitPlan,
        on_visit: Callable[[WaveTally], None] | None = None,
        closed: Callable[[], bool] = lambda: False,
    ) -> WaveTally:
        """Let `plan.people` people visit, `plan.concurrency` at once: whoever leaves makes room for the next. Once
        `closed()` nobody comes any more, and who is there finishes."""
        tally = WaveTally()
        coming = iter(range(plan.first_person, plan.first_person + plan.people))

        async def place() -> None:
            for index in coming:
                if closed():
                    return
                await self._visit(plan, index, tally)
                if on_visit is not None:
                    on_visit(tally)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(plan.concurrency, plan.people)):
                    group.create_task(place())
        except* PlauditError as failures:
            raise failures.exceptions[0] from None  # one reason is enough for people; the others say the same
        return tally

    async def _visit(self, plan: VisitPlan, index: int, tally: WaveTally) -> None:
        who = person(plan.seed, index, error_rate=plan.error_rate)
        draw = np.random.default_rng([plan.seed, index, 1])
        prompt = plan.prompts[int(draw.integers(len(plan.prompts)))]
        tally.visits += 1
        first = await self._ask(plan, who, prompt, None)
        tally.answers += 1
        if first.latency_seconds > who.patience_seconds:
            tally.looked_away += 1
            return
        u1 = await self._satisfaction(who, prompt, first)
        reaction = react(who, first.response_id, first.text, u1, time.time(), draw)
        await asyncio.sleep(reaction.reading_seconds * plan.time_scale)
        await self._send(reaction.events, tally)
        if reaction.asks_again:
            second = await self._ask(plan, who, prompt, first.conversation_id)
            tally.answers += 1
            u2 = await self._satisfaction(who, prompt, second)
            again = react(who, second.response_id, second.text, u2, time.time(), draw)
            await asyncio.sleep(again.reading_seconds * plan.time_scale)
            duel = compare(who, (first.response_id, u1), (second.response_id, u2), time.time(), draw)
            await self._send([*again.events, *duel], tally)

    async def _send(self, events: list[dict[str, Any]], tally: WaveTally) -> None:
        """Reactions go out when they happen: what waits for the next answer comes after the window has closed."""
        for kind, count in _counts(events).items():
            setattr(tally, kind, getattr(tally, kind) + count)
        await self.client.react(events)

    async def _ask(self, plan: VisitPlan, who: Person, prompt: str, conversation: str | None) -> Reply:
        return await self.client.chat(
            plan.messages(prompt),
            user=who.name,
            conversation_id=conversation,
            max_tokens=plan.max_tokens,
            temperature=plan.temperature,
        )

    async def _satisfaction(self, who: Person, prompt: str, reply: Reply) -> float:
        async with self._thinking:
            relevance = await asyncio.to_thread(self._judge.relevance, [prompt], [reply.text])
        seen = attributes_of(reply.text, finished=reply.finish_reason == "stop")
        return float(who.satisfaction(seen[None, :], relevance)[0])


def _counts(events: list[dict[str, object]]) -> dict[str, int]:
    signals = [str(item["signal"]) for item in events]
    return {
        "likes": signals.count("like"),
        "dislikes": signals.count("dislike"),
        "duels": signals.count("duel"),
        "events": len(signals),
    }
