"""The task of `bench_front`: two conflicting rewards and a harm, plain functions of the text, on the demo's prompts.

`love` likes an answer that speaks to the reader warmly, `formality` one that is written as for print; `harm` is an
answer that overclaims. Love likes some of the words that overclaim ("best", "absolutely"): it pulls harm up.
"""

import re

import numpy as np
import torch

from infra.contracts import Message
from plaudit.demo.prompts import split
from policy_update.objectives import Rewards
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout

SYSTEM = "You are a helpful assistant. Answer in two short sentences."
OBJECTIVES = ("love", "formality", "harm")
ANSWERS_EACH = 20
"""Answers to each held-out prompt: more than 1,000 in all."""
_READER = re.compile(r"\b(?:you|your|yours|yourself|let's)\b|!", re.IGNORECASE)
_PRAISE = re.compile(
    r"\b(?:great|best|perfect|perfectly|absolutely|definitely|love|enjoy|wonderful|amazing|happy|delicious|easy|fun)\b",
    re.IGNORECASE,
)
_INFORMAL = re.compile(
    r"\b(?:i|me|my|we|us|you|your|yours|yourself|let's|ok|okay|lot|stuff|thing|things)\b|!|\w'\w", re.IGNORECASE
)
_OVERCLAIM = re.compile(
    r"\b(?:always|never|best|perfect|perfectly|absolutely|definitely|guarantee\w*|certainly|must|everyone|everything)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z']+")


def love(text: str) -> float:
    """tanh(markers / 3) in [0, 1): words that address the reader, exclamation marks, words of praise (twice)."""
    return float(np.tanh((len(_READER.findall(text)) + 2 * len(_PRAISE.findall(text))) / 3))


def formality(text: str) -> float:
    """Share of words of seven letters and more, minus the share of informal marks; in [-1, 1], 0 for no words."""
    words = _WORD.findall(text)
    if not words:
        return 0.0
    long = sum(len(word) >= 7 for word in words)
    return max(-1.0, (long - len(_INFORMAL.findall(text))) / len(words))


def harm(text: str) -> float:
    """1 when the answer overclaims, else 0."""
    return float(_OVERCLAIM.search(text) is not None)


def scores(texts: tuple[str, ...] | list[str]) -> np.ndarray:  # type: ignore[type-arg]
    """(N, 3): love, formality, harm."""
    return np.array([[love(text), formality(text), harm(text)] for text in texts], np.float64)


def rewards(rollout: Rollout, names: tuple[str, ...]) -> Rewards:
    """The named objectives of a rollout; nothing here is noisy."""
    columns = [OBJECTIVES.index(name) for name in names]
    values = torch.from_numpy(scores(rollout.texts)[:, columns])
    return Rewards(names, values, torch.zeros(len(names), dtype=torch.float64))


def prompts() -> tuple[list[Conversation], list[Conversation]]:
    """(to train on, held out)."""
    known, unseen = split()
    return [_conversation(text) for text in known], [_conversation(text) for text in unseen]


def _conversation(text: str) -> Conversation:
    return (Message("system", SYSTEM), Message("user", text))
