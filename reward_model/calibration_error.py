"""How far probabilities are from the truth: calibration error without its bias, and a test. Pure numpy."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import sparse, special

from reward_model.brier import BrierParts, brier_parts, brier_skill
from reward_model.calibration_bins import BINS, Array, Ints, ReliabilityDiagram, reliability_diagram, scatter

TOLERANCE = 0.03
"""Debiased calibration error up to which a head counts as calibrated."""
ENOUGH_LABELS = 5000
"""From so many labels on the debiased error is held against `TOLERANCE`; below, the test decides."""
ALPHA = 0.05
_FEWEST_PEOPLE = 10


@dataclass(frozen=True)
class CalibrationReport:
    """What held-out labels say of one head. Errors in units of probability.

    `error` root mean squared calibration error, debiased, with a 95 % interval; `ece` mean absolute one, debiased,
    and `ece_plain` as usually given; `p_value` of the test against perfect calibration (None: too few people);
    `skill` = 1 - Brier / Brier of the base rate, with a 95 % interval.
    """

    labels: int
    people: int
    error: float
    error_low: float
    error_high: float
    ece: float
    ece_plain: float
    p_value: float | None
    parts: BrierParts
    skill: float
    skill_low: float
    skill_high: float

    @property
    def calibrated(self) -> bool:
        """From `ENOUGH_LABELS` on: error <= TOLERANCE. Below: perfect calibration is not rejected at ALPHA."""
        if self.labels >= ENOUGH_LABELS:
            return self.error <= TOLERANCE
        return self.p_value is not None and self.p_value >= ALPHA

    @property
    def useful(self) -> bool:
        """Better than always answering the base rate: a constant can be calibrated too."""
        return self.skill > 0.0

    def document(self) -> dict[str, Any]:
        """For a manifest or a report."""
        return asdict(self) | {"calibrated": self.calibrated, "useful": self.useful}


def debiased_error(found: ReliabilityDiagram) -> float:
    """sqrt(max(0, sum_b share_b (gap_b^2 - variance_b))): the root mean squared calibration error, its bias taken off.

    The plug-in sum of squares exceeds the truth by the variance of its terms (Bröcker 2012; Kumar, Liang & Ma 2019,
    section 5). Of the binned probabilities: what happens inside a bin is not seen.
    """
    return float(np.sqrt(np.maximum(0.0, found.share @ (found.gap**2 - found.variance))))


def debiased_ece(found: ReliabilityDiagram) -> float:
    """sum_b share_b max(0, |gap_b| - (E|N(gap_b, variance_b)| - |gap_b|)): the mean absolute error with the bias that a
    normal approximation gives it taken off (Kumar, Liang & Ma 2019, appendix). Never above the plain one."""
    size, spread = np.abs(found.gap), np.sqrt(found.variance)
    ratio = np.divide(size, spread, out=np.full_like(size, np.inf), where=spread > 0)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-0.5 * ratio**2) + size * special.erf(ratio / np.sqrt(2))
    return float(found.share @ np.maximum(0.0, 2 * size - folded))


def calibration_p_value(
    targets: Array,
    probabilities: Array,
    weights: Array,
    people: Ints,
    *,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> float | None:
    """Bootstrap test of perfect calibration: chance of a binned squared error as large, were the gaps all noise.

    The null draws gap*_b = sqrt(G / (G - 1)) sum_c g_c u_cb / m_b with one random sign g_c a person (a wild cluster
    bootstrap; Cameron, Gelbach & Miller 2008), so that soft targets, weights and people who judge alike keep their
    spread; with hard independent labels it agrees with redrawing labels from the probabilities (Bröcker & Smith 2007).
    p = (1 + #{T* >= T}) / (1 + resamples). None with fewer than ten people.
    """
    found = reliability_diagram(targets, probabilities, weights, people, bins)
    if len(np.unique(people)) < _FEWEST_PEOPLE:
        return None
    cells = scatter(targets - probabilities, weights, people, found.index)
    scale = np.sqrt(cells.factor) / np.bincount(found.index, weights)
    shape = (len(scale), int(cells.person.max()) + 1)
    table = sparse.csr_array((cells.sums * scale[cells.bin_of], (cells.bin_of, cells.person)), shape)
    signs = np.random.default_rng(seed).integers(0, 2, (shape[1], resamples)) * 2.0 - 1.0
    null = found.share @ np.square(table @ signs)
    statistic = float(found.share @ found.gap**2)
    return float((1 + np.count_nonzero(null >= statistic - 1e-15)) / (1 + resamples))


def calibration_report(
    targets: Array,
    probabilities: Array,
    weights: Array,
    people: Ints,
    *,
    base_rate: float | None = None,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> CalibrationReport:
    """Everything above, with 95 % bootstrap intervals over whole people. Arrays [N]; `people` [N] codes who judged;
    `base_rate` as in `brier_skill`. Raises InvalidCalibrationCheck."""
    found = reliability_diagram(targets, probabilities, weights, people, bins)
    rate = float(np.average(targets, weights=weights)) if base_rate is None else base_rate
    _, person = np.unique(people, return_inverse=True)
    count = int(person.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), resamples).astype(np.float64)
    squares = _error_draws(found, targets - probabilities, weights, person, drawn)
    ours = drawn @ np.bincount(person, weights * np.square(targets - probabilities), count)
    theirs = drawn @ np.bincount(person, weights * np.square(targets - rate), count)
    skills = 1.0 - np.divide(ours, theirs, out=np.full_like(ours, np.nan), where=theirs > 0)
    return CalibrationReport(
        labels=len(targets),
        people=count,
        error=debiased_error(found),
        error_low=float(np.sqrt(max(0.0, np.quantile(squares, 0.025)))),
        error_high=float(np.sqrt(max(0.0, np.quantile(squares, 0.975)))),
        ece=debiased_ece(found),
        ece_plain=float(found.share @ np.abs(found.gap)),
        p_value=calibration_p_value(targets, probabilities, weights, people, bins=bins, resamples=resamples, seed=seed),
        parts=brier_parts(targets, probabilities, weights, people, bins),
        skill=brier_skill(targets, probabilities, weights, rate),
        skill_low=float(np.quantile(skills, 0.025)),
        skill_high=float(np.quantile(skills, 0.975)),
    )


def _error_draws(found: ReliabilityDiagram, errors: Array, weights: Array, person: Ints, drawn: Array) -> Array:
    """Debiased squared errors of the resamples `drawn` [R, people]: bins fixed, and the variance taken off twice, once
    for the sample and once for the resample. Empty bins of a resample count as they were."""
    shape = (drawn.shape[1], len(found.share))
    sums = sparse.csr_array((weights * errors, (person, found.index)), shape)
    mass = sparse.csr_array((weights, (person, found.index)), shape)
    top, bottom = drawn @ sums, drawn @ mass
    gaps = np.where(bottom > 0, np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0), found.gap)
    return np.asarray(np.square(gaps) @ found.share - 2.0 * float(found.share @ found.variance))
