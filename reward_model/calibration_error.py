"""How far probabilities are from the truth: calibration error without its bias, and a test. Pure numpy."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import sparse, special

from reward_model.brier import BrierParts, brier_parts, brier_skill
from reward_model.calibration_bins import (
    BINS,
    Array,
    Ints,
    ReliabilityDiagram,
    clusterings,
    covariance,
    reliability_diagram,
    scatter,
)

TOLERANCE = 0.03
"""Debiased calibration error up to which a head counts as calibrated."""
ENOUGH_LABELS = 5000
"""From so many labels on the debiased error is held against `TOLERANCE`; below, the test decides."""
ALPHA = 0.05
_FEWEST_CLUSTERS = 10


Interval = tuple[float, float]


@dataclass(frozen=True)
class CalibrationReport:
    """What held-out labels say of one head. Errors in units of probability.

    `error` root mean squared calibration error, debiased, with a 95 % interval; `error_by_person` the same with only
    the variance between people taken off; `ece` mean absolute one, debiased, and `ece_plain` as usually given;
    `p_value` of the test against perfect calibration (None: too few people or questions); `skill` = 1 - Brier / Brier
    of the base rate, with a 95 % interval. `questions`: how many there are, 0 where they were not told apart: then
    everything is clustered by person alone.
    """

    labels: int
    people: int
    questions: int
    error: float
    error_low: float
    error_high: float
    error_by_person: float
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
    size, spread = np.abs(found.gap), np.sqrt(np.maximum(found.variance, 0.0))
    ratio = np.divide(size, spread, out=np.full_like(size, np.inf), where=spread > 0)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-0.5 * ratio**2) + size * special.erf(ratio / np.sqrt(2))
    return float(found.share @ np.maximum(0.0, 2 * size - folded))


def calibration_p_value(
    targets: Array,
    probabilities: Array,
    weights: Array,
    people: Ints,
    *,
    questions: Ints | None = None,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> float | None:
    """Bootstrap test of perfect calibration: chance of a binned squared error as large, were the gaps all noise.

    By person the null draws gap*_b = sqrt(G / (G - 1)) sum_c g_c u_cb / m_b with one random sign g_c a person (a wild
    cluster bootstrap; Cameron, Gelbach & Miller 2008), so that soft targets, weights and people who judge alike keep
    their spread; with hard independent labels it agrees with redrawing labels from the probabilities (Bröcker & Smith
    2007). With `questions` [N] the gaps are drawn from a normal distribution with their two-way covariance, which no
    single set of signs has. p = (1 + #{T* >= T}) / (1 + resamples). None with fewer than ten people, or questions.
    """
    found = reliability_diagram(targets, probabilities, weights, people, bins, questions=questions)
    nothing = np.zeros(0)
    rows = _Rows(targets - probabilities, weights, people, questions, nothing, nothing)
    return _p_value(found, rows, resamples, seed)


def calibration_report(
    targets: Array,
    probabilities: Array,
    weights: Array,
    people: Ints,
    *,
    questions: Ints | None = None,
    base_rate: float | None = None,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> CalibrationReport:
    """Everything above. Arrays [N]; `people` [N] codes who judged, `questions` [N] what was asked: equal where answers
    share a prompt or a conversation; `base_rate` as in `brier_skill`. 95 % intervals are of a bootstrap over whole
    people, or, with `questions`, of normal draws with the two-way covariance. Raises InvalidCalibrationCheck.
    """
    found = reliability_diagram(targets, probabilities, weights, people, bins, questions=questions)
    one_way = found if questions is None else reliability_diagram(targets, probabilities, weights, people, bins)
    rate = float(np.average(targets, weights=weights)) if base_rate is None else base_rate
    rows = _Rows(
        targets - probabilities,
        weights,
        people,
        questions,
        weights * np.square(targets - probabilities),
        weights * np.square(targets - rate),
    )
    error, skill = (_by_person if questions is None else _both_ways)(found, rows, resamples, seed)
    return CalibrationReport(
        labels=len(targets),
        people=len(np.unique(people)),
        questions=0 if questions is None else len(np.unique(questions)),
        error=debiased_error(found),
        error_low=error[0],
        error_high=error[1],
        error_by_person=debiased_error(one_way),
        ece=debiased_ece(found),
        ece_plain=float(found.share @ np.abs(found.gap)),
        p_value=_p_value(found, rows, resamples, seed),
        parts=brier_parts(targets, probabilities, weights, people, bins, questions=questions),
        skill=brier_skill(targets, probabilities, weights, rate),
        skill_low=skill[0],
        skill_high=skill[1],
    )


@dataclass(frozen=True)
class _Rows:
    """N rows: `errors` target - probability, `weights`, codes of `people` and `questions`, and what each adds to the
    Brier score, `ours`, and to that of the base rate, `theirs`."""

    errors: Array
    weights: Array
    people: Ints
    questions: Ints | None
    ours: Array
    theirs: Array


def _p_value(found: ReliabilityDiagram, rows: _Rows, resamples: int, seed: int) -> float | None:
    if any(len(np.unique(codes)) < _FEWEST_CLUSTERS for codes in (rows.people, rows.questions) if codes is not None):
        return None
    if rows.questions is None:
        table = scatter(rows.errors, rows.weights, rows.people, found.index).table
        signs = np.random.default_rng(seed).integers(0, 2, (table.shape[1], resamples)) * 2.0 - 1.0
        noise = table @ signs
    else:
        noise = _noise(found, rows, resamples, seed)
    null = found.share @ np.square(noise)
    statistic = float(found.share @ found.gap**2)
    return float((1 + np.count_nonzero(null >= statistic - 1e-15)) / (1 + resamples))


def _noise(found: ReliabilityDiagram, rows: _Rows, draws: int, seed: int) -> Array:
    """[B, draws] normal, with the two-way covariance of the bins' gaps; its eigenvalues below 0 are set to 0 (Cameron,
    Gelbach & Miller 2011, section 2.3)."""
    ways = clusterings(rows.people, rows.questions)
    sizes, directions = np.linalg.eigh(covariance(rows.errors, rows.weights, found.index, ways))
    units = np.random.default_rng(seed).standard_normal((len(sizes), draws))
    return np.asarray(directions @ (np.sqrt(np.maximum(sizes, 0.0))[:, None] * units))


def _both_ways(found: ReliabilityDiagram, rows: _Rows, draws: int, seed: int) -> tuple[Interval, Interval]:
    """Intervals of the error and of the skill. The skill 1 - A / B, A and B the sums of `ours` a_i and `theirs` b_i,
    varies to first order as the sum of (a_i - b_i A / B) / B; where few clusters bring the two-way variance of that
    below 0, the wider of the two ways is taken."""
    moved = np.square(found.gap[:, None] + _noise(found, rows, draws, seed))
    error = _root_range(found.share @ moved - 2.0 * float(found.share @ found.variance))
    top, bottom, count = float(rows.ours.sum()), float(rows.theirs.sum()), len(rows.ours)
    if bottom <= 0:
        return error, (float("nan"), float("nan"))
    parts, one, equal = (rows.ours - rows.theirs * top / bottom) / bottom, np.zeros(count, np.int64), np.ones(count)
    ways = clusterings(rows.people, rows.questions)
    variances = [sign * float(scatter(parts, equal, codes, one).variance[0]) for sign, codes in ways]
    variance = sum(variances) if sum(variances) > 0 else max(variances)
    width = float(special.ndtri(0.975) * count * np.sqrt(variance))
    return error, (1.0 - top / bottom - width, 1.0 - top / bottom + width)


def _by_person(found: ReliabilityDiagram, rows: _Rows, resamples: int, seed: int) -> tuple[Interval, Interval]:
    """Intervals of the error and of the skill from resamples of whole people."""
    _, person = np.unique(rows.people, return_inverse=True)
    count = int(person.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), resamples).astype(np.float64)
    top, bottom = (drawn @ np.bincount(person, column, count) for column in (rows.ours, rows.theirs))
    skills = 1.0 - np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    low, high = np.quantile(skills, [0.025, 0.975])
    return _root_range(_error_draws(found, rows.errors, rows.weights, person, drawn)), (float(low), float(high))


def _root_range(squares: Array) -> Interval:
    low, high = np.sqrt(np.maximum(0.0, np.quantile(squares, [0.025, 0.975])))
    return float(low), float(high)


def _error_draws(found: ReliabilityDiagram, errors: Array, weights: Array, person: Ints, drawn: Array) -> Array:
    """Debiased squared errors of the resamples `drawn` [R, people]: bins fixed, and the variance taken off twice, once
    for the sample and once for the resample. Empty bins of a resample count as they were."""
    shape = (drawn.shape[1], len(found.share))
    sums = sparse.csr_array((weights * errors, (person, found.index)), shape)
    mass = sparse.csr_array((weights, (person, found.index)), shape)
    top, bottom = drawn @ sums, drawn @ mass
    gaps = np.where(bottom > 0, np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0), found.gap)
    return np.asarray(np.square(gaps) @ found.share - 2.0 * float(found.share @ found.variance))
