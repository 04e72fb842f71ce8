"""The judgment at the end: new adapter against base model, on prompts the loop never saw, by people who never voted.

Both answer the same prompts through the public API, pinned by name; the panel's mean like probability is compared with
an interval clustered by prompt.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from infra.statistics import Estimate, clustered_difference
from plaudit.people.client import AppClient, Reply
from plaudit.people.judge import Judge
from plaudit.people.panel import Verdict, judge_answers

RELEVANCE_MARGIN = 0.05
"""Stated beforehand: mean relevance (0 to 1) under the new adapter may be lower than the base model's by at most this,
by the lower end of its 95 % interval."""
PANEL_MEMBERS = 200


@dataclass(frozen=True)
class Evaluation:
    """`love` and `relevance` are adapter minus base with 95 % intervals; rates are means over answers."""

    adapter: str
    prompts: int
    answers: int
    love: Estimate
    love_base: float
    love_adapter: float
    relevance: Estimate
    relevance_base: float
    relevance_adapter: float
    attributes_base: dict[str, float]
    attributes_adapter: dict[str, float]
    samples: list[dict[str, str]]

    @property
    def loved_more(self) -> bool:
        return self.love.low > 0

    @property
    def as_relevant(self) -> bool:
        return self.relevance.low > -RELEVANCE_MARGIN


async def answer_all(
    client: AppClient,
    model: str,
    prompts: Sequence[str],
    per_prompt: int,
    *,
    system: str,
    max_tokens: int,
    temperature: float,
    on_answer: Callable[[], None] | None = None,
) -> list[Reply]:
    """`per_prompt` answers of the pinned `model` to each prompt, prompt by prompt."""
    gate = asyncio.Semaphore(28)  # two models are asked at once

    async def one(prompt: str) -> Reply:
        async with gate:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
            reply = await client.chat(messages, model=model, max_tokens=max_tokens, temperature=temperature)
            if on_answer is not None:
                on_answer()
            return reply

    return await asyncio.gather(*(one(prompt) for prompt in prompts for _ in range(per_prompt)))


def compare(
    judge: Judge, seed: int, adapter: str, prompts: Sequence[str], base: Sequence[Reply], new: Sequence[Reply]
) -> Evaluation:
    """Judge both sets of replies: as many of `base` as of `new` to each prompt, in the same order."""
    per_prompt = len(base) // len(prompts)
    asked = [prompt for prompt in prompts for _ in range(per_prompt)]
    clusters = np.repeat(np.arange(len(prompts)), per_prompt)

    def verdict(replies: Sequence[Reply]) -> Verdict:
        finished = [reply.finish_reason == "stop" for reply in replies]
        return judge_answers(judge, seed, PANEL_MEMBERS, asked, [reply.text for reply in replies], finished)

    before, after = verdict(base), verdict(new)
    samples = [
        {"prompt": prompts[i], "before": base[i * per_prompt].text, "after": new[i * per_prompt].text}
        for i in range(0, len(prompts), max(1, len(prompts) // 8))
    ]
    return Evaluation(
        adapter=adapter,
        prompts=len(prompts),
        answers=len(base) + len(new),
        love=clustered_difference(after.love, before.love, clusters),
        love_base=float(before.love.mean()),
        love_adapter=float(after.love.mean()),
        relevance=clustered_difference(after.relevance, before.relevance, clusters),
        relevance_base=float(before.relevance.mean()),
        relevance_adapter=float(after.relevance.mean()),
        attributes_base=before.attribute_rates(),
        attributes_adapter=after.attribute_rates(),
        samples=samples,
    )
