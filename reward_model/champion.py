"""Whether a new reward model replaces the champion: a paired test on held-out judgments neither learned from. Pure.

The challenger wins when what it is charged (see `held_out`) is less than what the champion is charged by a test over
whole people (see `comparison`). Everything else keeps the champion, and the reason says which number was missing. The
first model has no champion to beat: it must beat chance in the same way.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reward_model.comparison import clustered_comparison
from reward_model.data import TrainingSet
from reward_model.held_out import Judgments, Predictions, charges

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHANCE = "chance"


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
    """`promoted` or kept, and why. `difference` is challenger minus `against` in nats a judgment (negative is better)
    with its 95 % interval; None where there was nothing to compare. `by_head` are the same differences by head."""

    promoted: bool
    reason: str
    against: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    judgments: int = 0
    people: int = 0
    by_head: dict[str, float] = field(default_factory=dict)

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
        return Decision(
            False, f"not enough evidence against {ref}: {reason}", ref, judgments=len(judgments), people=people
        )
    mine, theirs = charges(judgments, challenger), charges(judgments, other)
    found = clustered_comparison(
        mine,
        theirs,
        judgments.people,
        weights=judgments.weight,
        seed=rule.seed,
        resamples=rule.resamples,
        fewest_people=rule.min_people,
    )
    return Decision(
        found.better,
        f"against {ref}, in nats for each of {found.rows} held-out judgments of {found.people} people: {found.reason}",
        ref,
        found.difference,
        found.low,
        found.high,
        found.rows,
        found.people,
        _by_head(judgments, mine - theirs),
    )


def _by_head(judgments: Judgments, differences: Array) -> dict[str, float]:
    found = {}
    for name in dict.fromkeys(judgments.head):
        rows = judgments.of(name)
        found[name] = float(np.average(differences[rows], weights=judgments.weight[rows]))
    return found
