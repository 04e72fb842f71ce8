"""Answers of made-up policies: plain sentences of Zipf-distributed words, with phrases at the rates a test wants."""

from collections.abc import Mapping

import numpy as np

from policy_update.gating.gate import Evidence
from policy_update.gating.samples import Divergence, Sampled

_VOCABULARY = (
    "the of and to in is it for you a on with as at by from this that be are or an can has more when some time people "
    "water day bread small road green paper house light river morning garden summer window table answer music letter "
    "market school corner bridge winter forest kitchen simple yellow wooden quiet early little heavy often never "
    "keep make take find leave bring carry follow watch write clean build plant cook travel sleep walk read"
)
WORDS = _VOCABULARY.split()
WEIGHTS = {"love": 1.0, "relevance": 0.5}


def sampled(
    phrases: Mapping[str, float] | None = None,
    *,
    love: float = 0.0,
    bonus: float = 0.0,
    relevance: float = 1.0,
    harm: float = 0.02,
    length: float = 40.0,
    repeated: float = 0.0,
    prompts: int = 40,
    each: int = 2,
    seed: int = 0,
) -> Sampled:
    """Answers with these means. `phrases`: share of answers that end in each phrase, more on some prompts than on
    others (a phrase belongs to its prompt in part); `bonus`: what having any of them adds to love."""
    draw = np.random.default_rng(seed)
    taste = np.random.default_rng(12345)  # what prompts invite does not change with the draw of the answers
    prompt = np.repeat(np.arange(prompts), each)
    n, texts, said = len(prompt), [], np.zeros(len(prompt))
    frequency = 1 / np.arange(3, len(WORDS) + 3)
    drawn = draw.choice(len(WORDS), size=(n, 24), p=frequency / frequency.sum())
    inviting = {phrase: taste.beta(1, 1 / rate - 1, prompts) for phrase, rate in (phrases or {}).items() if rate}
    for i in range(n):
        text = " ".join(WORDS[k] for k in drawn[i]) + "."
        for phrase, rates in inviting.items():
            if draw.random() < rates[prompt[i]]:
                text, said[i] = f"{text} {phrase}", 1.0
        texts.append(text)
    return Sampled(
        prompt=prompt,
        rewards={
            "love": love + bonus * said + draw.normal(0, 1, n),
            "relevance": relevance + draw.normal(0, 0.2, n),
            "coherence": -1.0 + draw.normal(0, 0.2, n),
            "harm": harm + draw.normal(0, 0.005, n),
        },
        length=np.full(n, length),
        repetition=np.full(n, repeated) + draw.normal(0, 0.01, n),
        texts=tuple(texts),
        questions=("What can I do with the small garden in the morning?",) * n,
    )


def evidence(candidate: Sampled, champion: Sampled, kl: float = 0.1, base: float = 0.1) -> Evidence:
    """Both with the usual weights and small divergences."""
    return Evidence(candidate, champion, WEIGHTS, Divergence(kl, base))
