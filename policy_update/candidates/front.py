"""The front: what each candidate of a cycle reaches on every objective, and which of them nothing beats. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from infra.statistics import Estimate, clustered_mean
from policy_update.objectives import UNTRANSFORMED


def levels(
    rewards: Mapping[str, "np.ndarray"], prompt: "np.ndarray", heads: Sequence[str], confidence: float
) -> dict[str, dict[str, float]]:
    """Mean of each objective over a policy's answers with its interval, clustered by prompt, as plain data.

    `rewards` (n,) by name, `prompt` (n,). Probability `heads`, which come as log-odds, are told as probabilities.
    """
    found = {}
    for name, values in rewards.items():
        known = np.isfinite(values)
        if known.any():
            told = values if name not in heads or name in UNTRANSFORMED else 1.0 / (1.0 + np.exp(-values))
            found[name] = _plain(clustered_mean(told[known], prompt[known], confidence=confidence))
    return found


def undominated(points: Mapping[str, Sequence[float]]) -> list[str]:
    """Names of the points that no other point is at least as good as everywhere and better somewhere; higher is
    better. In the order given."""
    names = list(points)
    values: NDArray[np.float64] = np.array([list(point) for point in points.values()], np.float64)
    if not names:
        return []
    as_good = np.all(values[:, None, :] >= values[None, :, :], axis=-1)
    better = np.any(values[:, None, :] > values[None, :, :], axis=-1)
    beaten = np.any(np.logical_and(as_good, better), axis=0)
    return [name for name, lost in zip(names, beaten.tolist(), strict=True) if not lost]


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
