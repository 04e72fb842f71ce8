"""Whether the world has moved since the last training: a reason to train before enough news has come in. Pure."""

from collections.abc import Sequence

import numpy as np

from reward_model.drift import Window, drift
from reward_model.rows import LabelRow

FEWEST_PEOPLE = 30
"""Judges on each side: fewer are no population, and one loud person shall not start a training."""


def drifted(labels: Sequence[LabelRow], since: float, objectives: Sequence[str]) -> tuple[str, ...]:
    """What moved between the labels made up to `since` (Unix seconds) and those made after it, in words; nothing moved
    where it is empty. The rate of each objective is compared, clustered by judge, at 99 % together."""
    before, after = (
        _window([row for row in labels if (row.made_at > since) is newer], objectives) for newer in (False, True)
    )
    if min(len(set(before.people)), len(set(after.people))) < FEWEST_PEOPLE:
        return ()
    return drift(before, after).reasons


def _window(labels: Sequence[LabelRow], objectives: Sequence[str]) -> Window:
    def column(name: str) -> list[float]:
        return [
            float("nan") if (value := row.values.get(name)) is None or not row.weights.get(name, 1.0) > 0.0 else value
            for row in labels
        ]

    return Window(
        people=[row.judges[0] if row.judges else f"\0{row.key}" for row in labels],
        labels={name: np.array(column(name), np.float64) for name in objectives},
    )
