"""Verdicts on short signals, and the rule they serve: no positive weight without evidence or a written override."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from ingest.objectives import Objective

Verdict = Literal["predicts", "contradicts", "unclear", "too_few"]

LOWER_IS_BETTER = frozenset({"harm"})
"""Definitions of which less is better: they predict return when people who meet more of it return less."""


class SignalValidity(msgspec.Struct, frozen=True):
    """One row of the table: how P(return) changes from value 0 to value 1 of an objective, covariates held, with its
    interval [low, high]; None where nothing can be said. `people` and `days`: persons and person-days behind it."""

    objective: str
    verdict: Verdict
    effect: float | None
    low: float | None
    high: float | None
    people: int
    detail: dict[str, float]
    made_at: float


def verdict_of(low: float, high: float, *, lower_is_better: bool) -> Verdict:
    """By the interval of the effect."""
    if lower_is_better:
        low, high = -high, -low
    if low > 0:
        return "predicts"
    return "contradicts" if high < 0 else "unclear"


def refusals(objectives: Iterable[Objective], verdicts: Mapping[str, SignalValidity]) -> dict[str, str]:
    """Objectives with a positive weight that they may not have, each with the reason.

    Evidence is the newest verdict. Without any, or against it, only a written override lets an objective weigh.
    """
    refused: dict[str, str] = {}
    for objective in objectives:
        known = verdicts.get(objective.name)
        if objective.weight <= 0 or objective.override or (known is not None and known.verdict == "predicts"):
            continue
        found = "it was never seen to predict return" if known is None else f"the verdict is `{known.verdict}`"
        refused[objective.name] = (
            f"{found}: it weighs 0 instead of {objective.weight:g}; set ingest.objectives.{objective.name}.override "
            'to "reason, who, when" to let it weigh all the same'
        )
    return refused
