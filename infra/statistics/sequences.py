"""Confidence sequences for people to look at. They are asymptotic: decisions rest on the exact e-processes instead."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.statistics.two_arm import BoolArray, FloatArray, InvalidStatisticsInput


def asymptotic_rho(people: float, alpha: float) -> float:
    """The tuning that makes the two-sided sequence narrowest at about `people`: fix it before the data.

    rho = sqrt((-2 ln alpha + ln(-2 ln alpha + 1)) / people)   (arXiv 2103.06476, eq. 161).
    """
    if not 0 < alpha < 1 or people <= 0:
        raise InvalidStatisticsInput(f"need 0 < alpha < 1 and people > 0, got {alpha=}, {people=}", field="alpha")
    return float(np.sqrt((-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / people))


def asymptotic_margin(
    deviation: FloatArray | float, people: NDArray[np.float64] | float, rho: float, alpha: float
) -> FloatArray:
    """Half-width of the two-sided asymptotic confidence sequence for a mean.

    sigma * sqrt(2 (n rho^2 + 1) / (n^2 rho^2) * ln(sqrt(n rho^2 + 1) / alpha))
    (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Ann. Stat. 52(6) 2024, eq. 9).
    """
    n = np.asarray(people, dtype=np.float64)
    inner = n * rho**2 + 1
    return np.asarray(deviation * np.sqrt(2 * inner / (n**2 * rho**2) * np.log(np.sqrt(inner) / alpha)))


def augmented_scores(in_challenger: BoolArray, values: FloatArray, propensity: FloatArray) -> FloatArray:
    """One score a person whose mean, given the past, is the effect of the challenger on that person's value (AIPW).

    phi_i = (y_i - m_{i-1}) (A_i / pi_i - (1 - A_i) / (1 - pi_i)),  m the mean of all earlier values (1/2 at first).
    `propensity` is the chance of the challenger among counted people, in (0, 1), as it stood at assignment; this is
    what makes the stream immune to changes of the ramp.
    """
    n = np.arange(1, values.shape[0] + 1)
    earlier = np.concatenate(([0.5], np.cumsum(values)[:-1] / n[:-1])) if values.shape[0] else values
    weight = np.where(in_challenger, 1 / propensity, -1 / (1 - propensity))
    return np.asarray((values - earlier) * weight)


@dataclass(frozen=True)
class ConfidenceSequence:
    """Estimate and bounds after 1, 2, ..., n people; infinite bounds while there are fewer than two."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def mean_confidence_sequence(scores: FloatArray, people_at_best: float, alpha: float = 0.05) -> ConfidenceSequence:
    """The asymptotic confidence sequence of the mean of a stream of scores, narrowest at about `people_at_best`."""
    n = np.arange(1, scores.shape[0] + 1, dtype=np.float64)
    mean = np.cumsum(scores) / n
    deviation = np.sqrt(np.maximum(np.cumsum(scores**2) / n - mean**2, 0.0))
    margin = asymptotic_margin(deviation, n, asymptotic_rho(people_at_best, alpha), alpha)
    margin = np.where(n < 2, np.inf, margin)
    return ConfidenceSequence(mean, mean - margin, mean + margin)
