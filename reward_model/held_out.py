"""Held-out judgments as a list, and what each model is charged for them: the common ground of two models. Pure.

A judgment is one held-out label of one objective, or one held-out preference pair. A model is charged the negative
log-probability (nats) that it gave to what was recorded. For a label y in [0, 1] with predicted probability p

    l = -y log p - (1 - y) log(1 - p),

and for a pair, y being the probability that the first is preferred (1 where that is certain), the same with
p = (1 - e) s((u_1 - u_2) / c) + e s((u_2 - u_1) / c): c is the scale of the model's utility, e the flip rate it expects
in records. A head that a model lacks is charged as chance: the base rate among the training labels, or 1/2.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reward_model.calibration import sigmoid
from reward_model.data import TrainingSet
from reward_model.matched_pairs import MATCHED

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UTILITY = "utility"
_CLIP = 1e-6


@dataclass(frozen=True)
class Judgments:
    """J judgments: `head` [J] their objective (`utility` for pairs), `first` [J] rows of answers, `second` [J] the
    other answer of a pair and -1 for a label, `target` [J] in [0, 1], `weight` [J] > 0, `people` [J] who judged;
    `chance[head]` is the probability that a model without the head is charged for."""

    head: tuple[str, ...]
    first: Ints
    second: Ints
    target: Array
    weight: Array
    people: tuple[str, ...]
    chance: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def rows(self) -> Ints:
        """The answers that must be scored, each once."""
        return np.unique(np.concatenate([self.first, self.second[self.second >= 0]]))

    def of(self, head: str) -> Bools:
        """[J]: the judgments of one head."""
        return np.array([name == head for name in self.head], bool)


@dataclass(frozen=True)
class Predictions:
    """What a model says: `values[head]` [N] for every answer of the set (NaN where it was not asked), probabilities
    but for `utility`; `flip_rate` e in [0, 0.5) that it expects in recorded pairs; a difference of utilities divided by
    `utility_scale` > 0 is the log-odds of a preference; `spreads[head]` [N] their uncertainty, where it is known."""

    values: Mapping[str, Array]
    flip_rate: float = 0.0
    utility_scale: float = 1.0
    spreads: Mapping[str, Array] = field(default_factory=dict)


def held_out_judgments(data: TrainingSet, allowed: Bools | None = None, heads: Collection[str] = ()) -> Judgments:
    """The judgments of the hold-out of `data`, of answers with `allowed` [N] only (both answers of a pair), about
    `heads` only (none given: about all). Pairs made of two labels are left out: their labels count already."""
    held = data.split.held_out if allowed is None else data.split.held_out & allowed
    head: list[str] = []
    parts: list[tuple[Ints, Ints, Array, Array]] = []
    people: list[str] = []
    chance: dict[str, float] = {UTILITY: 0.5}
    conversations = [f"\0{answer.conversation_id}" for answer in data.answers]
    who = [person or conversation for person, conversation in zip(data.people, conversations, strict=True)]
    for k, name in enumerate(data.objectives):
        if heads and name not in heads:
            continue
        present = ~np.isnan(data.targets[:, k])
        rows = np.flatnonzero(present & held)
        chance[name] = _base_rate(data, k)
        head += [name] * len(rows)
        parts.append((rows, np.full(len(rows), -1), data.targets[rows, k], data.weights[rows, k]))
        people += [who[row] for row in rows]
    stated = np.array([source != MATCHED for source in data.pair_sources], bool)
    kept = np.flatnonzero(held[data.pairs].all(1) & stated & (not heads or UTILITY in heads))
    head += [UTILITY] * len(kept)
    parts.append((data.pairs[kept, 0], data.pairs[kept, 1], data.pair_soft[kept], data.pair_weights[kept]))
    people += [data.pair_people[row] or conversations[data.pairs[row, 0]] for row in kept]
    first, second, target, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Judgments(tuple(head), first, second, target, weight, tuple(people), chance)


def charges(judgments: Judgments, predictions: Predictions) -> Array:
    """What the model is charged for each judgment [J], nats, at most about 14 (probabilities are clipped at 1e-6)."""
    found = np.zeros(len(judgments))
    for name in dict.fromkeys(judgments.head):
        mine = judgments.of(name)
        first, second, target = judgments.first[mine], judgments.second[mine], judgments.target[mine]
        values = predictions.values.get(name)
        if values is None:
            probability = np.full(len(target), judgments.chance[name])
        elif name == UTILITY:
            margin, rate = (values[first] - values[second]) / predictions.utility_scale, predictions.flip_rate
            probability = (1.0 - rate) * sigmoid(margin) + rate * sigmoid(-margin)
        else:
            probability = values[first]
        found[mine] = _cross_entropy(target, probability)
    return found


def _cross_entropy(target: Array, probability: Array) -> Array:
    p = np.clip(probability, _CLIP, 1.0 - _CLIP)
    return np.asarray(-(target * np.log(p) + (1.0 - target) * np.log1p(-p)))


def _base_rate(data: TrainingSet, k: int) -> float:
    rows = ~np.isnan(data.targets[:, k]) & data.split.training
    if not rows.any():
        return 0.5
    return float(np.clip(np.average(data.targets[rows, k], weights=data.weights[rows, k]), _CLIP, 1.0 - _CLIP))
