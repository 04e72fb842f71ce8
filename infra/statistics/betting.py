"""An exact e-process that bets on propensity-weighted scores: any ramp, any drift of the base rate, any allocation.

One score a person, whose mean given the past is the effect itself (augmented inverse propensity weighting):

    z_i = y_i - R_i d_i - t_i          value less what the past predicts of it
    g_i = z_i (A_i / pi_a - B_i / pi_b) - margin d_i

y: numerator, d: denominator (1 for a plain mean), 0 <= y <= d <= 1; R_i: pooled ratio of earlier people; t_i: what the
person's pre-exposure covariate x adds, theta_i (x_i - mean of earlier x), theta_i the slope of earlier people. All of
R, t, theta come from earlier people alone, so that E[g_i | past] = effect - margin whatever the base rate does,
because the coin that chose the arm is independent of the person. Against the null "effect <= margin" the product of
(1 + lambda_i g_i), lambda_i >= 0 chosen from the past and small enough that no factor reaches 0, is a non-negative
supermartingale: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024.

Why phases are never pooled: a person is weighed by the probability that stood when he or she was assigned, so each
score is unbiased within its own phase; sums of unbiased scores do not mix base rates (no Simpson's paradox).

Why it is fast. For binary outcomes and the right R, 1 + lambda g is the likelihood ratio of the designed rates to R:
betting loses nothing to not knowing the base rate, where a block of n people loses about 1 / n.

Two limits. Everybody who was assigned must have a value: leave people out by what happened after their assignment and
the coin is no longer fair among those who stay (use `excess_e_process`, which conditions on the arms). And a ratio is
exact while the challenger leaves the denominators' mean alone; else the score has the mean (R_0 - R_i) (E d_a - E d_b),
R_0 the null's own ratio: zero as R_i learns it, not before.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from infra.statistics.e_process import EProcess
from infra.statistics.two_arm import BoolArray, FloatArray, InvalidStatisticsInput

PRIOR_VALUE, PRIOR_DENOMINATOR = 0.5, 1.0
"""One pseudo-person of the pooled ratio."""
PRIOR_VARIANCE_PEOPLE = 1.0
"""Pseudo-people with the largest variance that values with this mean can have: few, or narrow values are found late."""
SLOPE_PEOPLE = 10.0
"""Pseudo-people by which the covariate's slope is drawn to zero."""
Ratio = TypeVar("Ratio", float, FloatArray)

LARGEST_LOSS = 0.9
"""The largest share of its wealth that a bettor can lose to one person."""


@dataclass(frozen=True)
class BettingDesign:
    """What the bettors expect, fixed before the data.

    `effect` > 0: the smallest effect of interest, relative to the control (`relative`) or absolute. `base` in (0, 1):
    the rate at which an absolute effect is meant; at other rates r it is taken as that of the same odds ratio,
    effect r (1 - r) / (base (1 - base)), which spares the bettors the noise of r (1 - r) near 0 and 1. `multiples` of
    it have one bettor each with the share of the wealth in `weights`; what is left (more than nothing) follows the
    estimated effect, drawn to `effect` as by one experiment's worth of people.
    """

    effect: float = 0.1
    relative: bool = True
    multiples: tuple[float, ...] = (1.0, 3.0, 9.0)
    weights: tuple[float, ...] = (0.8, 0.06, 0.03)
    base: float | None = None

    def __post_init__(self) -> None:
        if not self.effect > 0:
            raise InvalidStatisticsInput(f"the effect must be positive, got {self.effect}", field="effect")
        if self.base is not None and (self.relative or not 0 < self.base < 1):
            raise InvalidStatisticsInput("base belongs to an absolute effect and lies in (0, 1)", field="base")
        if len(self.multiples) != len(self.weights) or min(self.multiples, default=0) <= 0:
            raise InvalidStatisticsInput("need one weight for every multiple, all positive", field="multiples")
        if min(self.weights) <= 0 or not sum(self.weights) < 1:
            raise InvalidStatisticsInput(
                f"weights must be positive and leave something to the plug-in, got {self.weights}", field="weights"
            )


@dataclass(frozen=True)
class Scores:
    """Per person, last axis: residual z, denominator d, and what was known beforehand: `below` and `above` (how far z
    can lie under and over 0), `variance` of z, `ratio` R, `size` (mean denominator)."""

    residual: FloatArray
    denominator: FloatArray
    below: FloatArray
    above: FloatArray
    variance: FloatArray
    ratio: FloatArray
    size: FloatArray


@dataclass(frozen=True)
class Arms:
    """Who is in which arm, last axis: people. `sign` = A / pi_a - B / pi_b; `inverse_a`, `inverse_b` = 1 / pi."""

    sign: FloatArray
    inverse_a: FloatArray
    inverse_b: FloatArray


def two_arms(in_a: BoolArray, propensity: FloatArray | float) -> Arms:
    """Everybody counted is in `a`, with probability `propensity` in (0, 1) as at assignment, or else in `b`."""
    return pair_of_arms(in_a, ~in_a, propensity, 1 - np.asarray(propensity, dtype=np.float64))


def pair_of_arms(in_a: BoolArray, in_b: BoolArray, share_a: FloatArray | float, share_b: FloatArray | float) -> Arms:
    """Two of several arms; people in neither score 0. Shares: the logged probability of each arm, in (0, 1)."""
    a, b = np.asarray(share_a, dtype=np.float64), np.asarray(share_b, dtype=np.float64)
    if not (np.all((a > 0) & (a < 1)) and np.all((b > 0) & (b < 1))):
        raise InvalidStatisticsInput("probabilities of arms must lie strictly between 0 and 1", field="propensity")
    inverse_a, inverse_b = np.broadcast_to(1 / a, in_a.shape), np.broadcast_to(1 / b, in_a.shape)
    return Arms(np.where(in_a, inverse_a, 0.0) - np.where(in_b, inverse_b, 0.0), inverse_a, inverse_b)


def before(values: FloatArray) -> FloatArray:
    """Sum over all earlier people, last axis."""
    found = np.empty_like(values)
    found[..., 0] = 0.0
    np.cumsum(values[..., :-1], axis=-1, out=found[..., 1:])
    return found


def scores(values: FloatArray, denominators: FloatArray | None = None, covariates: FloatArray | None = None) -> Scores:
    """Residuals and what was known before each of them; arrays (..., people), people 1 or more, in fixed order.

    `values` in [0, 1] and at most the denominators, themselves in [0, 1] (divide both by a cap fixed beforehand);
    `covariates`: of before exposure, of order one, NaN where unknown. Raises InvalidStatisticsInput.
    """
    if not bool(np.all((values >= 0) & (values <= (1.0 if denominators is None else denominators)))):
        raise InvalidStatisticsInput("values must lie between 0 and their denominator", field="values")
    if denominators is not None and not bool(np.all(denominators <= 1)):
        raise InvalidStatisticsInput("denominators must lie in [0, 1]: divide by the cap", field="denominators")
    earlier = np.arange(values.shape[-1], dtype=np.float64)
    below_line = earlier if denominators is None else before(denominators)
    ratio = (before(values) + PRIOR_VALUE) / (below_line + PRIOR_DENOMINATOR)
    whole = np.ones_like(values) if denominators is None else denominators
    plain = values - ratio * whole
    shift = np.zeros(()) if covariates is None else _shift(plain, covariates, earlier, ratio)
    residual, expected = plain - shift, ratio + shift
    most = expected * (1 - expected)
    variance = (before(residual * residual) + PRIOR_VARIANCE_PEOPLE * most) / (earlier + PRIOR_VARIANCE_PEOPLE)
    size = np.ones_like(ratio) if denominators is None else (below_line + 1) / (earlier + 1)
    return Scores(residual, whole, expected, 1 - expected, variance, ratio, size)


def _shift(plain: FloatArray, covariates: FloatArray, earlier: FloatArray, ratio: FloatArray) -> FloatArray:
    """theta_i (x_i - mean of earlier x), held where ratio + shift stays in [0, 1]; 0 for unknown covariates."""
    known = np.isfinite(covariates)
    x = np.where(known, covariates, 0.0)
    n, sum_x = before(known.astype(np.float64)), before(x)
    z = np.where(known, plain, 0.0)
    sum_z, sum_xx, sum_xz = before(z), before(x * x), before(x * z)
    n1 = np.maximum(n, 1.0)
    spread = sum_xx - sum_x**2 / n1
    slope = (sum_xz - sum_x * sum_z / n1) / np.where(spread > 1e-9, spread, np.inf) * n / (n + SLOPE_PEOPLE)
    shift = np.where(known, slope * (x - sum_x / n1), 0.0)
    return np.asarray(np.clip(ratio + shift, 0.0, 1.0) - ratio)


def gains(found: Scores, arms: Arms, design: BettingDesign, margin: float = 0.0) -> list[tuple[float, FloatArray]]:
    """(share of the wealth, lambda_i g_i) of every bettor, against "effect of a over b <= margin".

    The stake is the Kelly fraction of a small bet, (effect - margin) / E[g^2], at least 0 and at most what can lose
    `LARGEST_LOSS`. With a negative margin (non-inferiority) a bettor expects no difference instead of `multiples`.
    """
    raw = found.residual * arms.sign
    score = raw - margin * found.denominator if margin else raw
    spread = found.variance * (arms.inverse_a + arms.inverse_b)
    worst = np.maximum(found.below * arms.inverse_a, found.above * arms.inverse_b) + max(margin, 0.0)
    limit = LARGEST_LOSS / worst
    # Before the first person there is nothing to bet on.
    limit[..., 0] = 0.0
    null = margin * found.size if margin else 0.0
    unit = effect_unit(design, found.ratio) * found.size
    # Where nothing is subtracted, every designed bettor stakes a multiple of one and the same array.
    kelly = unit / spread if not margin else unit
    bettors = []
    for weight, effect in designed_effects(design, margin):
        stake = effect * kelly if not margin else np.maximum(_kelly(effect * unit, null, spread), 0.0)
        bettors.append((weight, np.minimum(stake, limit) * score))
    first = designed_effects(design, margin)[0][1] * unit
    prior_people = spread / (first - null) ** 2
    estimate = (before(raw) + prior_people * first) / (np.arange(raw.shape[-1]) + prior_people)
    stake = _kelly(estimate, null, spread) if margin else estimate / spread
    return [*bettors, (1 - sum(design.weights), np.clip(stake, 0.0, limit) * score)]


def designed_effects(design: BettingDesign, margin: float) -> list[tuple[float, float]]:
    """(share of the wealth, effect) of the bettors with a fixed effect: in units of the pooled ratio when relative,
    about which the arms then lie evenly, (1 + effect) apart; none for non-inferiority."""
    if margin < 0:
        return [(sum(design.weights), 0.0)]
    effects = [design.effect * multiple for multiple in design.multiples]
    if design.relative:
        effects = [2 * effect / (2 + effect) for effect in effects]
    return list(zip(design.weights, effects, strict=True))


def effect_unit(design: BettingDesign, ratio: Ratio) -> Ratio:
    """What `designed_effects` are multiples of, at the pooled ratio of earlier people."""
    if design.relative:
        return ratio
    if design.base is None:
        return ratio * 0 + 1
    return ratio * (1 - ratio) / (design.base * (1 - design.base))


def _kelly(expected: FloatArray, null: FloatArray | float, spread: FloatArray) -> FloatArray:
    """(expected - null) / E[(g)^2] with g = score - null."""
    second_moment = spread + null * null - 2 * null * expected
    return np.asarray((expected - null) / np.maximum(second_moment, 1e-12))


def betting_e_process(
    in_a: BoolArray,
    values: FloatArray,
    propensity: FloatArray | float,
    design: BettingDesign,
    margin: float = 0.0,
    *,
    denominators: FloatArray | None = None,
    covariates: FloatArray | None = None,
) -> EProcess:
    """The e-process against "arm a is not above arm b by more than `margin`", one entry a person.

    `in_a` (n,), `values` (n,), `propensity` of arm a at each person's assignment, in fixed order (by the instant the
    value was frozen). Superiority, harm, non-inferiority and directions as in `excess_e_process`; exchange the arms by
    `~in_a` and 1 - propensity. Arrays, ranges and errors as in `scores`.
    """
    n = values.shape[-1]
    if n == 0:
        return EProcess(np.zeros(1), np.zeros(1, dtype=np.int64))
    bets = gains(scores(values, denominators, covariates), two_arms(in_a, propensity), design, margin)
    paths = [np.log(weight) + np.cumsum(np.log1p(gain)) for weight, gain in bets]
    log_e = np.concatenate(([0.0], np.logaddexp.reduce(np.stack(paths), axis=0)))
    return EProcess(log_e, np.arange(n + 1, dtype=np.int64))


def wealth(bets: list[tuple[float, FloatArray]]) -> FloatArray:
    """e-value after each person, last axis, without logarithms: for simulations. A bettor who loses 700 nats is out."""
    total = np.zeros_like(bets[0][1])
    for weight, gain in bets:
        path = 1 + gain
        np.cumprod(path, axis=-1, out=path)
        path *= weight
        total += path
    return total
