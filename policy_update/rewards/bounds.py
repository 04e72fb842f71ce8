"""Bounds on a reward before it is weighted: no single answer, and no broken scorer, can outweigh everything else."""

from collections.abc import Callable

import numpy as np

from policy_update.rewards.batch import FloatArray


def tanh(values: FloatArray) -> FloatArray:
    """(-1, 1), odd; slope 1 at 0. NaN stays NaN, infinities become the ends."""
    return np.tanh(values)


def sigmoid(values: FloatArray) -> FloatArray:
    """(0, 1): 1 / (1 + exp(-x)), 0.5 at 0. NaN stays NaN."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def clip(values: FloatArray) -> FloatArray:
    """[-1, 1]: what lies within is left alone. NaN stays NaN."""
    return np.clip(values, -1.0, 1.0)


BOUNDS: dict[str, Callable[[FloatArray], FloatArray]] = {"tanh": tanh, "sigmoid": sigmoid, "clip": clip}


def bounded(values: FloatArray, bound: str, scale: float) -> FloatArray:
    """`values` (N,) / `scale`, through the bound of that name. All bounds lie within [-1, 1]."""
    with np.errstate(over="ignore"):  # a quotient beyond all numbers is an infinity, which every bound takes
        return BOUNDS[bound](np.asarray(values, np.float64) / scale)
