"""Real preferences for the benchmarks of the reward model's training and scoring: hh-rlhf, as token sequences."""

import gzip
import json
import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.contracts import Message
from infra.models.chat import render_chat
from infra.models.loading import LoadedModel

FILE = Path(os.environ.get("PLAUDIT_SHARED", "../shared")) / "data" / "hh-rlhf" / "harmless_pairs.jsonl.gz"
_TURN = re.compile(r"\n\n(Human|Assistant): ?")


@dataclass(frozen=True)
class Conversation:
    """One judged pair: the messages before the answers, and both answers."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str


def conversations() -> list[Conversation]:
    """Pairs whose dialogues differ in the last answer alone; empty answers and different histories are left out."""
    found = []
    with gzip.open(FILE, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            chosen, rejected = _messages(row["chosen"]), _messages(row["rejected"])
            same = len(chosen) > 1 and chosen[:-1] == rejected[:-1] and chosen[-1].role == "assistant"
            if same and chosen[-1].content and rejected[-1].content and chosen[-1] != rejected[-1]:
                found.append(Conversation(tuple(chosen[:-1]), chosen[-1].content, rejected[-1].content))
    return found


def _messages(dialogue: str) -> list[Message]:
    parts = _TURN.split(dialogue)[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [Message(roles[who], text.strip()) for who, text in zip(parts[::2], parts[1::2], strict=True)]


def tokenised(loaded: LoadedModel, rows: Sequence[Conversation], max_length: int) -> list[tuple[list[int], list[int]]]:
    """(chosen, rejected) as token ids, closed as the chat template closes a turn; longer than `max_length`: left out.

    The last token is a line feed, not the padding token: both trainers then pool the same position.
    """
    closing = loaded.tokenizer("<|im_end|>\n", add_special_tokens=False).input_ids

    def ids(prompt: list[int], answer: str) -> list[int]:
        return prompt + list(loaded.tokenizer(answer, add_special_tokens=False).input_ids) + closing

    pairs = []
    for row in rows:
        prompt = render_chat(loaded, row.messages)
        pair = ids(prompt, row.chosen), ids(prompt, row.rejected)
        if max(map(len, pair)) <= max_length:
            pairs.append(pair)
    return pairs


def split(pairs: Sequence[object], held_out: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """(training, held out) indices of a seeded permutation."""
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)
    return order[held_out:], order[:held_out]
