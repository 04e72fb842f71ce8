"""From a head's logit to a probability that means what it says. Pure numpy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Platt:
    """p = s(slope x + offset) (Platt 1999), slope >= 0 so that no calibration turns a ranking round."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, logits: Array) -> Array:
        """Probabilities in (0, 1), same shape."""
        return np.asarray(sigmoid(self.slope * logits + self.offset))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def fit_platt(logits: Array, targets: Array, weights: Array) -> Platt:
    """Slope and offset of least weighted cross-entropy on logits the head had not seen; all arrays [N].

    Targets are soft labels in [0, 1]. A pull of strength 1 (in rows) towards slope 1, offset 0 keeps small samples and
    separable ones finite, in the spirit of Platt's own smoothed targets.
    """
    total = float(weights.sum())
    spread = float(np.std(logits)) or 1.0
    unit = logits / spread

    def objective(parameters: Array) -> tuple[float, Array]:
        slope, offset = parameters
        x = slope * unit + offset
        loss = weights @ (np.logaddexp(0.0, x) - targets * x) / total
        error = weights * (sigmoid(x) - targets) / total
        pull = 0.5 * ((slope - spread) ** 2 + offset**2) / total
        gradient = np.array([error @ unit + (slope - spread) / total, error.sum() + offset / total])
        return float(loss + pull), gradient

    bounds = [(0.0, None), (None, None)]
    found = minimize(objective, np.array([spread, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return Platt(float(found.x[0] / spread), float(found.x[1]))
