"""How far predicted rates may be trusted: one point for each past candidate, predicted against realised. Pure.

A candidate's predicted rate is the reward model's mean on a fixed set of prompts before anybody saw it; its realised
rate is what people did in its experiment. Each point also has the control of that experiment, under the same prompts
and the same people, so that differences to the control are free of what changed between experiments.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from infra.statistics import wilson_interval
from reward_model.errors_in_variables import Line, fit_line

Array = NDArray[np.float64]

AWFUL = 0.5
"""Candidates whose realised rate is below this share of their control's are left out: they make any r look good."""
FEWEST_POINTS = 5
"""Points below which nothing is said."""


@dataclass(frozen=True)
class Rate:
    """A mean in [0, 1] and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Point:
    """One past candidate (`name@version`). Errors of predictions are those of sampling answers to the fixed prompts;
    errors of realised rates are clustered by person. The control's rates are None where they were not kept."""

    candidate: str
    predicted: Rate
    realised: Rate
    control_predicted: Rate | None = None
    control_realised: Rate | None = None


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of n points with Fisher's 95 % interval; `corrected` for the known errors of both sides (Spearman
    1904), at most 1, None where the errors leave nothing."""

    r: float
    low: float
    high: float
    corrected: float | None
    points: int


@dataclass(frozen=True)
class Signs:
    """Share of `comparisons` whose predicted difference has the realised one's sign, a tie counting half, with a 95 %
    interval from `independent` comparisons; `ceiling`: the share that perfect predictions would be expected to reach,
    since realised signs err too."""

    accuracy: float
    low: float
    high: float
    comparisons: int
    independent: int
    ceiling: float


@dataclass(frozen=True)
class Trust:
    """How much a gate may lean on predicted rates.

    `number` in [0, 1]: the share of the variance between candidates that predictions explain with 97.5 % confidence,
    (lower end of r's interval)^2. `level`: unproven (fewer than five points), none (r may be 0), direction (which of
    two candidates is better is foreseen, by how much is not), size (predicted rates may be read as rates). `meaning`
    says it in words.
    """

    level: str
    number: float
    meaning: str


@dataclass(frozen=True)
class OfflineOnline:
    """The report; None where there are too few points.

    `levels`: r of rates; `differences`: r of differences to the control; `line`: realised on predicted rates;
    `between`: signs of differences between candidates; `to_control`: of each candidate's difference to its own control;
    `recalibrated`: the line after each prediction was corrected by the candidates before it
    (`recalibrated_by_the_past`), what is left of a slope that is wrong in the same way every time. It never takes the
    place of `line`, nor enters `trust`.
    """

    points: tuple[Point, ...]
    left_out: tuple[str, ...]
    levels: Correlation | None
    differences: Correlation | None
    line: Line | None
    between: Signs | None
    to_control: Signs | None
    trust: Trust
    recalibrated: Line | None = None

    def expected(self, predicted: Rate) -> tuple[float, float, float] | None:
        """(mean, low, high), 95 %, of the rate that a new candidate will have; None without a line."""
        return None if self.line is None else self.line.predict(predicted.value, predicted.error)

    def seen_before(self, predicted: float) -> bool:
        """Whether a prediction lies within the range of the points; outside it the line is a guess."""
        values = [point.predicted.value for point in self.points]
        return bool(values) and min(values) <= predicted <= max(values)

    def document(self) -> dict[str, Any]:
        """Plain data for a report; infinite ends of intervals become None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def offline_online(points: Sequence[Point], *, awful: float = AWFUL) -> OfflineOnline:
    """Compare predicted with realised rates, in order of time; awful candidates left out (see `AWFUL`; 0 keeps all)."""
    out = tuple(point.candidate for point in points if _is_awful(point, awful))
    kept = tuple(point for point in points if point.candidate not in out)
    report = OfflineOnline(kept, out, None, None, None, None, None, trust_of(None, None))
    if len(kept) < FEWEST_POINTS:
        return report
    x, y, sx, sy = _columns([(point.predicted, point.realised) for point in kept])
    levels = correlation(x, y, sx, sy)
    line = fit_line(x, y, sx, sy) if np.ptp(x) > 0 else None
    report = replace(
        report,
        levels=levels,
        line=line,
        between=signs_between(x, y, sy),
        trust=trust_of(levels, line),
        recalibrated=_line_after_correction(kept),
    )
    against = [
        (_minus(point.predicted, point.control_predicted), _minus(point.realised, point.control_realised))
        for point in kept
        if point.control_predicted is not None and point.control_realised is not None
    ]
    if len(against) < FEWEST_POINTS:
        return report
    dx, dy, dsx, dsy = _columns(against)
    return replace(report, differences=correlation(dx, dy, dsx, dsy), to_control=signs_of(dx, dy, dsy))


def recalibrated_by_the_past(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points from the sixth on, in order of time, each predicted rate put through the line of the points before it.

    Prequential (Dawid 1984): no point enters its own correction, nor does a later one. Where the points before lie at
    one place there is no line, and the prediction stays as it was.
    """
    made = []
    for place in range(FEWEST_POINTS, len(points)):
        x, y, sx, sy = _columns([(point.predicted, point.realised) for point in points[:place]])
        point = points[place]
        if np.ptp(x) > 0:
            line, rate = fit_line(x, y, sx, sy), point.predicted
            corrected = Rate(line.intercept + line.slope * rate.value, abs(line.slope) * rate.error)
            point = replace(point, predicted=corrected)
        made.append(point)
    return tuple(made)


def correlation(x: Array, y: Array, error_x: Array, error_y: Array) -> Correlation | None:
    """Pearson's r of [n] points, n >= 4; None where x or y is constant.

    Interval: tanh(atanh r +- 1.96 / sqrt(n - 3)) (Fisher 1921). Corrected: r / sqrt(l_x l_y), l = 1 - mean error^2 /
    variance.
    """
    count = len(x)
    if count < 4 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return None
    r = float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))
    half = float(stats.norm.ppf(0.975)) / np.sqrt(count - 3)
    centre = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    kept = [1.0 - float(np.mean(error**2)) / float(np.var(v, ddof=1)) for v, error in ((x, error_x), (y, error_y))]
    corrected = float(np.clip(r / np.sqrt(kept[0] * kept[1]), -1.0, 1.0)) if min(kept) > 0 else None
    return Correlation(r, float(np.tanh(centre - half)), float(np.tanh(centre + half)), corrected, count)


def signs_of(predicted: Array, realised: Array, error: Array) -> Signs:
    """Of n independent differences [n], n >= 1, realised with standard errors `error`; Wilson's interval."""
    right = _agreement(predicted, realised)
    low, high = wilson_interval(float(right.sum()), len(right))
    return Signs(float(right.mean()), low, high, len(right), len(right), _ceiling(realised, error))


def signs_between(predicted: Array, realised: Array, error: Array) -> Signs:
    """Of the n (n - 1) / 2 differences between n candidates [n], n >= 2.

    They share candidates, so the interval is Wilson's for floor(n / 2) comparisons: the mean over all pairs varies no
    more than that over disjoint ones (Hoeffding 1963, section 5).
    """
    i, j = np.triu_indices(len(predicted), 1)
    differences = realised[i] - realised[j]
    right = _agreement(predicted[i] - predicted[j], differences)
    independent = len(predicted) // 2
    low, high = wilson_interval(float(right.mean()) * independent, independent)
    return Signs(
        float(right.mean()), low, high, len(right), independent, _ceiling(differences, np.hypot(error[i], error[j]))
    )


def trust_of(levels: Correlation | None, line: Line | None) -> Trust:
    """What correlation and slope allow. `size` needs what ten points at r = .95 prove (lower end .8), and a slope
    within .8 and 1.2."""
    if levels is None or line is None:
        return Trust(
            "unproven",
            0.0,
            f"fewer than {FEWEST_POINTS} candidates to compare: a prediction may stop a candidate, not vouch for it",
        )
    number, shown = max(0.0, levels.low) ** 2, f"r {levels.r:.2f} [{levels.low:.2f}, {levels.high:.2f}]"
    if levels.low <= 0.0:
        return Trust(
            "none", 0.0, f"{shown} over {levels.points} candidates: predictions may be unrelated to what people do"
        )
    slope = f"slope {line.slope:.2f} [{line.slope_low:.2f}, {line.slope_high:.2f}]"
    if levels.low < 0.8 or not 0.8 <= line.slope <= 1.2:
        return Trust("direction", number, f"{shown}, {slope}: better is foreseen, by how much is not")
    return Trust("size", number, f"{shown}, {slope}: predicted rates may be read as rates")


def predicted_rate(values: Array, prompt: NDArray[np.int64]) -> Rate:
    """Mean over prompts of the mean over each prompt's answers; values [n] in [0, 1], prompt [n], n >= 1.

    The prompts are fixed, so only the sampling of answers errs: sqrt(sum_p var_p / n_p) / P. Where some prompt has one
    answer the spread between prompts is taken for it, which is too much rather than too little.
    """
    _, index = np.unique(prompt, return_inverse=True)
    counts = np.bincount(index)
    means = np.bincount(index, values) / counts
    if counts.min() >= 2:
        variances = np.bincount(index, np.square(values - means[index])) / (counts - 1) / counts
    else:
        variances = np.full(len(means), float(np.var(means, ddof=1)) if len(means) > 1 else 0.25)
    return Rate(float(means.mean()), float(np.sqrt(variances.sum())) / len(means))


def realised_rate(values: Array, weights: Array, people: NDArray[np.int64]) -> Rate:
    """Weighted mean over answers, its error clustered by person (a ratio of two person sums, linearised): values [n] in
    [0, 1], weights [n] >= 0 with a positive sum, people [n]. An infinite error for one person."""
    rate = float(np.average(values, weights=weights))
    _, index = np.unique(people, return_inverse=True)
    sums = np.bincount(index, weights * (values - rate))
    count = len(sums)
    if count < 2:
        return Rate(rate, float("inf"))
    return Rate(rate, float(np.sqrt(count / (count - 1) * np.square(sums).sum())) / float(weights.sum()))


def _line_after_correction(points: Sequence[Point]) -> Line | None:
    corrected = recalibrated_by_the_past(points)
    if len(corrected) < FEWEST_POINTS:
        return None
    x, y, sx, sy = _columns([(point.predicted, point.realised) for point in corrected])
    return fit_line(x, y, sx, sy) if np.ptp(x) > 0 else None


def _columns(pairs: Sequence[tuple[Rate, Rate]]) -> tuple[Array, Array, Array, Array]:
    """predicted, realised, and their errors, [n] each."""
    table = np.array([(p.value, r.value, p.error, r.error) for p, r in pairs], np.float64)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def _minus(one: Rate, other: Rate | None) -> Rate:
    return one if other is None else Rate(one.value - other.value, float(np.hypot(one.error, other.error)))


def _is_awful(point: Point, awful: float) -> bool:
    return point.control_realised is not None and point.realised.value < awful * point.control_realised.value


def _agreement(predicted: Array, realised: Array) -> Array:
    same = np.sign(predicted) == np.sign(realised)
    return np.where((predicted == 0) | (realised == 0), 0.5, same.astype(np.float64))


def _ceiling(realised: Array, error: Array) -> float:
    """Mean chance that a realised sign is the true one, were the realised differences true."""
    sure = np.divide(np.abs(realised), error, out=np.full(len(error), np.inf), where=error > 0)
    return float(np.mean(stats.norm.cdf(sure)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
