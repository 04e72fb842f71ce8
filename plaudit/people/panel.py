"""The panel: every member of a fresh crowd judges every answer, so that two adapters are compared without vote noise.

Love rate here is the panel's mean P(like | shown) with slips left out: the expectation of what people would press.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.people.attributes import ATTRIBUTES, attributes_of
from plaudit.people.crowd import person
from plaudit.people.judge import Judge


@dataclass(frozen=True)
class Verdict:
    """Per answer: `love` the panel's mean like probability (n,), `relevance` (n,), `attributes` (n, 4)."""

    love: NDArray[np.float64]
    relevance: NDArray[np.float64]
    attributes: NDArray[np.float64]

    def attribute_rates(self) -> dict[str, float]:
        """Share of answers that show each attribute."""
        return dict(zip(ATTRIBUTES, map(float, self.attributes.mean(0)), strict=True))


def judge_answers(
    judge: Judge,
    seed: int,
    members: int,
    prompts: Sequence[str],
    answers: Sequence[str],
    finished: Sequence[bool],
) -> Verdict:
    """The panel of `members` people (none of whom ever visited: their indices start at ten million) on every answer."""
    relevance = judge.relevance(prompts, answers)
    attributes = np.stack([attributes_of(a, finished=f) for a, f in zip(answers, finished, strict=True)])
    love = np.zeros(len(answers))
    for index in range(members):
        who = person(seed, 10_000_000 + index)
        love += who.like_probability(who.satisfaction(attributes, relevance))
    return Verdict(love / members, relevance, attributes)
