"""Cross-fitting: two models on disjoint halves of the people, so that a policy trained against one is gated by the
other. What a policy learns to exploit in the one half's opinions, the other half's never taught. Pure.

Both halves share the full model's standardisation and subspace, which come from texts alone; no opinion of one half
reaches the heads of the other, neither in a fit nor in a penalty, a calibration or a noise estimate.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from infra.settings.reward_model import RewardModelSettings
from reward_model.data import TrainingSet
from reward_model.training import UTILITY, TrainedHeads, train_heads

HALVES = (0, 1)


def train_halves(
    data: TrainingSet, features: Tensor, settings: RewardModelSettings, full: TrainedHeads
) -> tuple[TrainedHeads, TrainedHeads] | str:
    """The heads of `full`, fitted on each half of the people; or why there are no halves."""
    reason = shortage(data, settings, full.objectives)
    if reason is not None:
        return reason
    made = []
    for half in HALVES:
        heads = train_heads(of_half(data, half), features, settings, subspace=full.subspace)
        if heads.objectives != full.objectives:
            lost = ", ".join(f"{name} ({heads.report['absent'].get(name)})" for name in full.objectives
                             if name not in heads.objectives)  # fmt: skip
            return f"half {half} of the people carries no head for {lost}"
        made.append(heads)
    return made[0], made[1]


def of_half(data: TrainingSet, half: int) -> TrainingSet:
    """The same answers with the opinions of one half of the people alone; opinions of several people who are not all
    in it are left out. Rows of answers stay in place, so that features need no new order."""
    mine = (data.half == half) & ~data.half_mixed
    pairs = (data.pair_half == half) & ~data.pair_half_mixed
    return replace(
        data,
        targets=np.where(mine[:, None], data.targets, np.nan),
        weights=np.where(mine[:, None], data.weights, 0.0),
        pairs=data.pairs[pairs],
        pair_weights=data.pair_weights[pairs],
        pair_soft=data.pair_soft[pairs],
        pair_margins=data.pair_margins[pairs],
        pair_sources=_some(data.pair_sources, pairs),
        pair_people=_some(data.pair_people, pairs),
        pair_half=data.pair_half[pairs],
        pair_half_mixed=data.pair_half_mixed[pairs],
        pair_held_out_person=data.pair_held_out_person[pairs],
        pair_left_out=data.pair_left_out[pairs],
    )


def shortage(data: TrainingSet, settings: RewardModelSettings, objectives: tuple[str, ...]) -> str | None:
    """Which half has too few opinions for a model of its own, with the number missing; None when neither has."""
    for half in HALVES:
        mine = of_half(data, half)
        for name in objectives:
            needed, have, what = settings.cross_fit_min_labels, 0, f"labels of {name}"
            if name == UTILITY:
                needed, have, what = -(-needed // 4), int(mine.pair_training.sum()), "pairs"
            else:
                present = ~np.isnan(mine.targets[:, mine.objectives.index(name)])
                have = int((present & mine.split.training).sum())
            if have < needed:
                return f"{needed - have} {what} more needed from half {half} of the people ({have} so far)"
    return None


def document(halves: tuple[TrainedHeads, TrainedHeads] | str) -> dict[str, Any]:
    """What the report says about the halves."""
    if isinstance(halves, str):
        return {"absent": halves}
    return {"halves": [{"heads": half.report["heads"]} for half in halves]}


def _some(values: tuple[Any, ...], keep: NDArray[np.bool_]) -> tuple[Any, ...]:
    return tuple(value for value, kept in zip(values, keep.tolist(), strict=True) if kept)
