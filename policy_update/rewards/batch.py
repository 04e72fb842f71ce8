"""What a reward may look at: the answers, what was asked, and what is known about the right answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError
from policy_update.prompts import Conversation, Reference

FloatArray = NDArray[np.float64]


class InvalidReward(PlauditError):
    """A reward of the configuration that cannot be used as it stands."""

    code = "invalid_reward"
    status = 400


@dataclass(frozen=True)
class AnswerBatch:
    """N answers: the messages before each, its text without special tokens, its length in tokens (end token included),
    whether the token limit cut it, and what the prompt's author gave to check it by (None: nothing)."""

    conversations: Sequence[Conversation]
    texts: Sequence[str]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    references: Sequence[Reference | None]

    def __len__(self) -> int:
        return len(self.texts)


Reward = Callable[[AnswerBatch], FloatArray]
Parameters = dict[str, Any]


def each(batch: AnswerBatch, score: Callable[[int], float]) -> FloatArray:
    """`score(row)` of every answer, (N,)."""
    return np.array([score(row) for row in range(len(batch))], np.float64)
