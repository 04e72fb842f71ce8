"""Rewards of your own: `package.module:function`, called with an `AnswerBatch`."""

import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from policy_update.rewards.batch import AnswerBatch, FloatArray, InvalidReward, Reward

_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_path(kind: str) -> bool:
    """Whether a kind is meant as an import path."""
    return ":" in kind


def imported(path: str) -> Callable[..., Any]:
    """The callable at `package.module:function`. Raises InvalidReward, naming the path and what is wrong with it."""
    if not _PATH.fullmatch(path):
        raise InvalidReward(f"reward kind {path!r} is no import path: write package.module:function", field="kind")
    module_name, name = path.split(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a foreign module raises while it is imported
        raise InvalidReward(
            f"reward kind {path!r}: {module_name} cannot be imported ({type(error).__name__}: {error}): install it, or "
            "put it on PYTHONPATH",
            field="kind",
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        what = "has no such name" if found is None else f"holds a {type(found).__name__} under that name"
        raise InvalidReward(f"reward kind {path!r}: {module_name} {what}; name a function", field="kind")
    return found  # type: ignore[no-any-return]


def checked(path: str, parameters: dict[str, Any]) -> Reward:
    """The function at `path` as a reward: called with the batch and `parameters`, its answer checked each time for its
    shape (N,); NaN = says nothing. Infinite values are left to the bound. Raises InvalidReward."""
    function = imported(path)

    def reward(batch: AnswerBatch) -> FloatArray:
        try:
            values = np.asarray(function(batch, **parameters), np.float64)
        except Exception as error:  # whatever a foreign function raises: the run stops and says whose fault it is
            raise InvalidReward(
                f"reward {path!r} raised {type(error).__name__}: {error}; it is called with an AnswerBatch of "
                f"{len(batch)} answers and {sorted(parameters)}",
                field="kind",
            ) from error
        if values.shape != (len(batch),):
            raise InvalidReward(
                f"reward {path!r} returned shape {values.shape} for {len(batch)} answers: return one number an answer, "
                "NaN where it says nothing",
                field="kind",
            )
        return values

    return reward
