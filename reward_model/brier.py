"""Brier's score, its parts and its skill, clustered by person and question. Pure numpy."""

from dataclasses import dataclass

import numpy as np

from reward_model.calibration_bins import BINS, Array, Ints, clusterings, reliability_diagram, scatter


@dataclass(frozen=True)
class BrierParts:
    """brier = reliability - resolution + uncertainty + within, exactly (Murphy 1973; `within`: what bins hide,
    Stephenson et al. 2008). The three are without their bias from finite samples (Bröcker 2012; Ferro & Fricker 2012),
    estimates of the population's own, and may be slightly negative."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(
    targets: Array,
    probabilities: Array,
    weights: Array,
    people: Ints,
    bins: int = BINS,
    *,
    questions: Ints | None = None,
) -> BrierParts:
    """Parts over the bins of `reliability_diagram`; arrays [N]. Raises InvalidCalibrationCheck.

    With V_b the variance of bin b's observed rate and V that of the overall rate, all clustered as there:
    reliability = sum_b s_b (gap_b^2 - V_b), resolution = sum_b s_b ((o_b - o)^2 - V_b) + V, uncertainty = mean of
    (y - o)^2, plus V. With hard labels of one person each these are Ferro & Fricker's, equations 12 to 14.
    """
    found = reliability_diagram(targets, probabilities, weights, people, bins, questions=questions)
    total = float(weights.sum())
    mean = float(weights @ targets) / total
    one = np.zeros(len(targets), np.int64)
    ways = clusterings(people, questions)
    alone = float(sum(sign * scatter(targets, weights, codes, one).variance[0] for sign, codes in ways))
    score = float(weights @ np.square(probabilities - targets)) / total
    rel = float(found.share @ found.gap**2)
    res = float(found.share @ np.square(found.observed - mean))
    unc = float(weights @ np.square(targets - mean)) / total
    noise = float(found.share @ found.variance_observed)
    return BrierParts(score, rel - noise, res - noise + alone, unc + alone, score - rel + res - unc)


def brier_skill(targets: Array, probabilities: Array, weights: Array, base_rate: float | None = None) -> float:
    """1 - Brier / Brier of always answering `base_rate` (None: the rate of these very rows, a harder opponent).

    NaN where the base rate is never wrong."""
    rate = float(np.average(targets, weights=weights)) if base_rate is None else base_rate
    reference = float(weights @ np.square(targets - rate))
    return 1.0 - float(weights @ np.square(targets - probabilities)) / reference if reference > 0 else float("nan")
