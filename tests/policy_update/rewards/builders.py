"""Batches of answers made by hand."""

from collections.abc import Sequence

import numpy as np

from infra.contracts import Message
from policy_update.prompts import Reference
from policy_update.rewards.batch import AnswerBatch


def batch(
    texts: Sequence[str],
    references: Sequence[Reference | None] | None = None,
    tokens: Sequence[int] | None = None,
    truncated: Sequence[bool] | None = None,
) -> AnswerBatch:
    count = len(texts)
    return AnswerBatch(
        conversations=[(Message("user", f"question {row}"),) for row in range(count)],
        texts=list(texts),
        tokens=np.array(tokens or [len(text.split()) + 1 for text in texts], np.int64),
        truncated=np.array(truncated or [False] * count, np.bool_),
        references=references or [None] * count,
    )


def answers(*wanted: str | None) -> list[Reference | None]:
    return [None if one is None else Reference(answer=one) for one in wanted]
