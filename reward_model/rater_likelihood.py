"""How probable a record is, given its pair's truth and its judge's error rate: see `rater_noise`. Pure numpy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from reward_model.judgments import Judgments

Array = NDArray[np.float64]

GRID: Array = expit(np.linspace(-5.0, 4.0, 25))
"""Candidate error rates r, from .007 to .98."""


@dataclass(frozen=True)
class Likelihood:
    """P(record | t, r) [M, G] for both truths, its derivative by b, and P(wrong and record | t, r)."""

    first: Array
    second: Array
    first_slope: Array
    second_slope: Array
    first_wrong: Array
    second_wrong: Array


def likelihood_of(judgments: Judgments, x: Array, habit: float) -> Likelihood:
    """Weights are powers: a record that weighs half counts half in the logarithm."""
    reached, certain = 2.0 * np.minimum(GRID, 1.0 - GRID), np.maximum(2.0 * GRID - 1.0, 0.0)
    y, v = judgments.says[:, None], judgments.weight[:, None]
    points_wrong = expit(-habit * x[judgments.pair])[:, None]
    step = reached * points_wrong * (1.0 - points_wrong) * -x[judgments.pair][:, None]
    first_rate, second_rate = certain + reached * points_wrong, certain + reached * (1.0 - points_wrong)
    first = y * (1.0 - first_rate) + (1.0 - y) * first_rate
    second = y * second_rate + (1.0 - y) * (1.0 - second_rate)
    first_slope, second_slope = v * (1.0 - 2.0 * y) * step / first, v * (2.0 * y - 1.0) * -step / second
    first_wrong, second_wrong = (1.0 - y) * first_rate / first, y * second_rate / second
    if (v != 1.0).any():
        first, second = first**v, second**v
    return Likelihood(first, second, first_slope, second_slope, first * first_wrong, second * second_wrong)


def habit_of(lengths: Array) -> Array:
    """x [U] in [-1, 1] of differences in log-length [U]: tanh(1.5 d / rms(d)); zeros where nothing differs."""
    spread = float(np.sqrt(np.mean(lengths**2))) if len(lengths) else 0.0
    return np.asarray(np.tanh(1.5 * lengths / spread)) if spread > 0.0 else np.zeros(len(lengths))
