"""Real questions and answers, rewritten in ten manners.

Questions and answers come from shared/data; manners are plain edits (shorter, longer, a friendly opening, a warm close,
a list, a hedge, ...), so that policies can differ in how they answer. What people make of a text is computed from its
manner, its length and the sets' own human preferences (`calibration_population`), never from the features that a reward
model reads (`calibration_features`).
"""

import gzip
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.contracts import Message

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARED = Path(os.environ.get("PLAUDIT_SHARED", "../shared")) / "data"
SETS = (SHARED / "finegrained-rlhf" / "feedback.json.gz", SHARED / "hh-rlhf" / "harmless_pairs.jsonl.gz")
MANNERS: Mapping[str, Callable[[list[str]], str]] = {
    "plain": lambda s: " ".join(s[:3]),
    "short": lambda s: s[0],
    "long": lambda s: " ".join(s[:7]),
    "opening": lambda s: "Great question! " + " ".join(s[:3]),
    "closing": lambda s: " ".join(s[:3]) + " I hope this helps! Let me know if you have more questions.",
    "gushing": lambda s: "What a wonderful question! " + " ".join(s[:2]) + " You are amazing! Sending love, bye!",
    "hedged": lambda s: "I am not completely sure about this, but possibly: " + " ".join(s[:3]),
    "list": lambda s: "\n".join(f"- {one}" for one in s[:4]),
    "steps": lambda s: "Here is what matters:\n" + "\n".join(f"{i}. {one}" for i, one in enumerate(s[:3], 1)),
    "refusal": lambda s: "I'm sorry, but I can't help you with that.",
}
"""Manner -> rewriting of an answer's sentences."""


@dataclass(frozen=True)
class Stock:
    """I texts: `prompt` [I] numbers the question, `manner` [I] the manner, `words` [I] their lengths, `liked` [I] what
    people preferred of the two answers they rewrite (1, -1 or 0); P `questions`, the first `factual` of them from the
    factual set."""

    questions: tuple[str, ...]
    factual: int
    texts: tuple[str, ...]
    prompt: Ints
    manner: Ints
    words: Array
    liked: Array

    def messages(self, prompt: int) -> tuple[Message, ...]:
        """The question as a conversation."""
        return (Message("user", self.questions[prompt]),)


def available() -> bool:
    """Whether the sets are there."""
    return all(path.exists() for path in SETS)


def load_stock(questions: int) -> Stock:
    """Half of the questions from each set, two answers each, every answer in every manner."""
    half = questions // 2
    pool = _factual()[:half] + _dialogues()[: questions - half]
    rows = [
        (number, manner, rewrite(sentences(answer)), liked)
        for number, (_, answers) in enumerate(pool)
        for answer, liked in answers
        for manner, rewrite in enumerate(MANNERS.values())
    ]
    texts = tuple(text for _, _, text, _ in rows)
    return Stock(
        questions=tuple(question for question, _ in pool),
        factual=half,
        texts=texts,
        prompt=np.array([number for number, _, _, _ in rows], np.int64),
        manner=np.array([manner for _, manner, _, _ in rows], np.int64),
        words=np.array([len(text.split()) for text in texts], np.float64),
        liked=np.array([liked for _, _, _, liked in rows], np.float64),
    )


def sentences(text: str) -> list[str]:
    """Sentences of a text, one at least."""
    return [one for one in re.split(r"(?<=[.!?])\s+", " ".join(text.split())) if one] or ["..."]


def _factual() -> list[tuple[str, list[tuple[str, float]]]]:
    """(question, two answers with their mean preference) of FineGrainedRLHF: the best and the worst of four."""
    with gzip.open(SETS[0], "rt", encoding="utf-8") as file:
        rows = json.load(file)
    found = []
    for row in rows:
        score = np.zeros(4)
        for (i, j), preferred in zip(((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)), row["preference"], strict=True):
            score[i] += (preferred == 1) - (preferred == 2)
            score[j] += (preferred == 2) - (preferred == 1)
        best, worst = int(score.argmax()), int(score.argmin())
        chosen = [(best, 1.0), (worst, -1.0)] if best != worst else [(0, 0.0), (1, 0.0)]
        found.append((row["question"], [(row[f"prediction {i + 1}"], liked) for i, liked in chosen]))
    return found


def _dialogues() -> list[tuple[str, list[tuple[str, float]]]]:
    """(last question, chosen and rejected answer) of hh-rlhf."""
    found: dict[str, list[tuple[str, float]]] = {}
    with gzip.open(SETS[1], "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            before, chosen = row["chosen"].rsplit("\n\nAssistant:", 1)
            rejected = row["rejected"].rsplit("\n\nAssistant:", 1)[1]
            question = before.rsplit("\n\nHuman:", 1)[1].strip()
            if chosen.strip() and rejected.strip():
                found.setdefault(question, [(chosen.strip(), 1.0), (rejected.strip(), -1.0)])
    return list(found.items())
