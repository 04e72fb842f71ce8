"""How many recorded preferences are flipped: a profile likelihood on margins the model had not seen. Pure numpy.

A model of margin z gives the true preference probability s(a z); the record agrees with probability

    p_i = (1 - e) s(a z_i) + e s(-a z_i).

a absorbs the scale of the margins, e the floor of disagreement that no confidence removes. Margins come from
out-of-fold fits, so that over-fitting does not pass for agreement. As in Natarajan et al. 2013 (class-conditional
noise) for symmetric flips. With weak margins the data say little about e; the interval shows it, and a Beta prior
(mode at the prior's flip rate) decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Array = NDArray[np.float64]

_CHI_SQUARE_95 = 3.841458820694124
"""95 % point of chi-square with one degree of freedom: the profile interval is where 2 (max - profile) stays below."""


@dataclass(frozen=True)
class NoiseEstimate:
    """`flip_rate` e (posterior mode), its 95 % profile `interval`, and the `scale` a of margins at that e."""

    flip_rate: float
    interval: tuple[float, float]
    scale: float


def estimate_flip_rate(
    margins: Array, weights: Array, *, largest: float = 0.45, prior_mean: float = 0.1, prior_strength: float = 10.0
) -> NoiseEstimate:
    """Estimate e in [0, largest] and a from margins z [M] of the recorded preferences, weights [M] >= 0.

    `prior_strength` is what the Beta prior is worth in pairs seen with certainty; 0 for plain maximum likelihood.
    """
    grid = np.linspace(0.0, largest, 46)
    spread = float(np.sqrt(np.average(margins**2, weights=weights))) or 1.0
    unit = margins / spread
    scales = np.array([best_scale(unit, weights, e) for e in grid])
    profile = np.array([log_likelihood(a * unit, weights, e) for a, e in zip(scales, grid, strict=True)])
    prior = prior_strength * (prior_mean * np.log(np.maximum(grid, 0.005)) + (1.0 - prior_mean) * np.log1p(-grid))
    best = int(np.argmax(profile + prior))
    inside = grid[2.0 * (profile.max() - profile) <= _CHI_SQUARE_95]
    return NoiseEstimate(float(grid[best]), (float(inside.min()), float(inside.max())), float(scales[best] / spread))


def best_scale(margins: Array, weights: Array, flip_rate: float | Array) -> float:
    """The a >= 0 that maximises the likelihood of margins a z at fixed flip rates (a bounded search on log a)."""

    def negative(log_scale: float) -> float:
        return -log_likelihood(np.exp(log_scale) * margins, weights, flip_rate)

    found = minimize_scalar(negative, bounds=(-7.0, 4.0), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def log_likelihood(margins: Array, weights: Array, flip_rate: float | Array) -> float:
    """sum_i v_i log[(1 - e_i) s(z_i) + e_i s(-z_i)], nats; one e for all or e [M]."""
    clean, flipped = -np.logaddexp(0.0, -margins), -np.logaddexp(0.0, margins)
    if isinstance(flip_rate, float) and flip_rate == 0.0:
        return float(weights @ clean)
    e = np.clip(flip_rate, 1e-12, 1.0 - 1e-12)
    return float(weights @ np.logaddexp(clean + np.log1p(-e), flipped + np.log(e)))
