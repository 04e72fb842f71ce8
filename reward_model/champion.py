"""Whether a new reward model replaces the champion: a paired test on held-out judgments neither learned from. Pure.

What the two are charged (see `held_out`) is compared head by head, over whole people (see `comparison`). The challenger
wins when one head is shown to be better, and none worse; each of K heads is tested at 1 - 0.05 / K, so that two equal
models change places in at most one training of forty. Everything else keeps the champion, and the reason gives the
numbers. The first model has no champion to beat: it must beat chance in the same way.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reward_model.comparison import Comparison, Verdict, clustered_comparison, replacement
from reward_model.data import TrainingSet
from reward_model.held_out import Judgments, Predictions, charges

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHANCE = "chance"
_ALPHA = 0.05


@dataclass(frozen=True)
class Rule:
    """What a comparison must offer: `min_people` (as equal ones) and `min_judgments`; `resamples` and `seed` of its
    bootstrap."""

    min_people: int = 30
    min_judgments: int = 50
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Decision:
    """`promoted` or kept, and why. `by_head` are the tests that decide; `overall` is the same over all judgments
    together, at 95 %, for reading only. Differences are challenger minus `against` in nats a judgment: negative is
    better. None and {} where there was too little to compare."""

    promoted: bool
    reason: str
    against: str
    judgments: int = 0
    people: int = 0
    by_head: dict[str, Comparison] = field(default_factory=dict)
    overall: Comparison | None = None

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def unseen_by(data: TrainingSet, trained_on: TrainingSet | None, labels_as_of: float) -> Bools:
    """[N]: answers of `data` that a model with labels up to `labels_as_of` (Unix seconds) cannot have learned from.

    With its training set rebuilt, those that share neither conversation nor prompt with its training side; without
    (rows were erased or expired since), only those made after the instant.
    """
    if trained_on is None:
        return np.array([answer.created_at > labels_as_of for answer in data.answers], bool)
    learned = np.flatnonzero(trained_on.split.training)
    conversations = {trained_on.answers[row].conversation_id for row in learned}
    prompts = {trained_on.answers[row].prompt_key for row in learned}
    return np.array(
        [a.conversation_id not in conversations and a.prompt_key not in prompts for a in data.answers], bool
    )


def compared(judgments: Judgments, challenger: Predictions, other: Predictions, ref: str, rule: Rule) -> Decision:
    """The decision between a challenger and `other`, called `ref`. Without predictions `other` is chance."""
    people = len(set(judgments.people))
    if len(judgments) < rule.min_judgments:
        missing = rule.min_judgments - len(judgments)
        reason = f"{missing} more judgments needed on answers neither has seen ({len(judgments)} so far)"
        return Decision(False, f"not enough evidence against {ref}: {reason}", ref, len(judgments), people)
    mine, theirs = charges(judgments, challenger), charges(judgments, other)

    def test(rows: Bools, confidence: float) -> Comparison:
        return clustered_comparison(
            mine[rows],
            theirs[rows],
            [name for name, kept in zip(judgments.people, rows.tolist(), strict=True) if kept],
            weights=judgments.weight[rows],
            seed=rule.seed,
            resamples=rule.resamples,
            confidence=confidence,
            fewest_people=rule.min_people,
        )

    heads = list(dict.fromkeys(judgments.head))
    by_head = {name: test(judgments.of(name), 1.0 - _ALPHA / len(heads)) for name in heads}
    promoted, _ = replacement(by_head)
    overall = test(np.ones(len(judgments), bool), 1.0 - _ALPHA)
    told = f"against {ref}, on {len(judgments)} held-out judgments of {people} people, nats each: {_said(by_head)}"
    return Decision(promoted, told, ref, len(judgments), people, by_head, overall)


def _said(tests: dict[str, Comparison]) -> str:
    """The tests that decided, in words: those that speak against, else those that speak for it, else all."""
    for verdict in (Verdict.WORSE, Verdict.BETTER):
        found = [f"{name}: {test.reason}" for name, test in tests.items() if test.verdict is verdict]
        if found:
            return "; ".join(found)
    return "; ".join(f"{name}: {test.reason}" for name, test in tests.items())
