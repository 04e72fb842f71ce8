"""The asymptotic e-process of adjusted scores, for values without a bound: valid once many people are in, hence gates.

Scores are those of `infra.statistics.betting` without ranges, in hindsight: after n people, with the mean of all n, and
with their slope on the covariates x from before exposure,

    z_i = y_i - mean_n - slope_n (x_i - mean of x),   S_n = sum (z_i (A_i / pi_a - B_i / pi_b) - margin) / sigma_n

against "effect <= margin". A bet must be made from the past alone; this sequence makes none, it only has to come near a
Gaussian martingale, which it does with whatever estimates converge (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Ann.
Stat. 2024, section 3). Estimates of earlier people alone leave the first scores almost unadjusted for ever: of 464
people that is worth eleven. Where the arms have equal distributions S_n has mean 0 exactly, for the coins know nothing
of the values. The e-value mixes Gaussian likelihood ratios over positive effects with a half-normal of precision rho
(Howard, Ramdas, McAuliffe, Sekhon, Ann. Stat. 2021):

    ln E = ln 2 + ln(rho / (n + rho)) / 2 + S^2 / (2 (n + rho)) + ln Phi(S / sqrt(n + rho))

What made such sequences fail on small arms (0 successes, so no variance) is ruled out: sigma^2 is never below what the
pooled residuals say, and nothing is believed before both arms have enough people on both sides of the mean. Most of
the wealth lies on the designed effect, exp(delta S - n delta^2 / 2), which is faster there than any wide mixture.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtri

from infra.statistics.betting import Arms, before, two_arms
from infra.statistics.e_process import EProcess
from infra.statistics.sequences import asymptotic_margin, asymptotic_rho
from infra.statistics.two_arm import BoolArray, FloatArray, InvalidStatisticsInput

POWER = 0.8
Number = Any
"""A float, or an array of them: the same formulas serve a state and a path."""


@dataclass(frozen=True)
class AsymptoticDesign:
    """Fixed before the data. `people_at_best`: the people of a fixed-sample test of the smallest effect of interest
    with power 80 % at one-sided level `alpha`, which tells that effect in standard deviations of a score; `point`: the
    wealth on it, the mixture has the rest; `least`: people an arm above, and not above, the mean of earlier people."""

    people_at_best: float = 2000.0
    alpha: float = 0.05
    least: int = 10
    point: float = 0.9

    @property
    def effect(self) -> float:
        """Smallest effect of interest in standard deviations of a score."""
        return float(ndtri(1 - self.alpha) + ndtri(POWER)) / math.sqrt(self.people_at_best)

    @property
    def precision(self) -> float:
        """rho in people: n* / (-2 ln 2a + ln(1 - 2 ln 2a)), a = alpha, one-sided."""
        if not 0 < self.alpha < 0.5 or self.people_at_best <= 0:
            raise InvalidStatisticsInput("need 0 < alpha < 1/2 and people_at_best > 0", field="alpha")
        return 1 / asymptotic_rho(self.people_at_best, 2 * self.alpha) ** 2


def log_half_normal_mixture(total: FloatArray | float, time: FloatArray | float, precision: float) -> FloatArray:
    """ln E above for a sum `total` with variance `time`."""
    whole = np.asarray(time, dtype=np.float64) + precision
    s = np.asarray(total, dtype=np.float64)
    return np.asarray(math.log(2) + 0.5 * np.log(precision / whole) + s**2 / (2 * whole) + log_ndtr(s / np.sqrt(whole)))


def log_designed_mixture(total: FloatArray | float, time: FloatArray | float, design: AsymptoticDesign) -> FloatArray:
    """ln of the e-value that decides: the designed effect and the half-normal mixture, weighted."""
    point = design.effect * np.asarray(total) - np.asarray(time) * design.effect**2 / 2
    mixture = log_half_normal_mixture(total, time, design.precision)
    return np.asarray(np.logaddexp(math.log(design.point) + point, math.log(1 - design.point) + mixture))


def asymptotic_path(
    values: FloatArray, arms: Arms, design: AsymptoticDesign, margin: float = 0.0, covariates: FloatArray | None = None
) -> FloatArray:
    """ln E after each person, (..., people); 0 while a gate is closed. Any finite `values`; `covariates` NaN where
    unknown."""
    if not bool(np.all(np.isfinite(values))):
        raise InvalidStatisticsInput("values must be finite", field="values")
    earlier = np.arange(values.shape[-1], dtype=np.float64)
    known = None if covariates is None else np.isfinite(covariates)
    x = None if covariates is None or known is None else np.where(known, covariates, 0.0)
    sums = {name: np.cumsum(moment, axis=-1) for name, moment in _moments(values - values[..., :1], arms, x, known)}
    total, variance = _score(sums)
    n = earlier + 1
    log_e = log_designed_mixture((total - n * margin) / np.sqrt(np.maximum(variance, 1e-300)), n, design)
    a, b = arms.sign > 0, arms.sign < 0
    high = (values > before(values) / np.maximum(earlier, 1.0)) & (earlier > 0)
    gates = [np.cumsum(side & level, axis=-1) >= design.least for side in (a, b) for level in (high, ~high)]
    return np.where(np.logical_and.reduce(gates) & (variance > 0), log_e, 0.0)


def _moments(
    y: FloatArray, arms: Arms, x: FloatArray | None, known: BoolArray | None
) -> Iterator[tuple[str, FloatArray]]:
    """What has to be summed over people: y from a fixed point, w = A / pi_a - B / pi_b, and with covariates the same
    among those who have one, k."""
    w = arms.sign
    w2 = w * w
    yield from (("n", np.ones_like(y)), ("y", y), ("yy", y * y), ("inverse", arms.inverse_a + arms.inverse_b))
    yield from (("w", w), ("wy", w * y), ("v", w2), ("vy", w2 * y), ("vyy", w2 * y * y))
    if x is not None and known is not None:
        k = known.astype(np.float64)
        yield from (("k", k), ("kx", x), ("kxx", x * x), ("ky", k * y), ("kxy", x * y))
        yield from (("kw", k * w), ("kwx", w * x), ("kv", k * w2), ("kvx", w2 * x))
        yield from (("kvy", k * w2 * y), ("kvxx", w2 * x * x), ("kvxy", w2 * x * y))


def _score(s: Mapping[str, Number]) -> tuple[Number, Number]:
    """Sum of the scores of all people in hindsight, and the variance of one: the larger of the scores' own and of what
    the pooled residuals would give in both arms, each with its degrees of freedom."""
    n, mean = s["n"], s["y"] / s["n"]
    total = s["wy"] - mean * s["w"]
    own = s["vyy"] - 2 * mean * s["vy"] + mean * mean * s["v"]
    pooled, used = s["yy"] - mean * s["y"], 2.0
    if "k" in s:
        k = np.maximum(s["k"], 1.0)
        middle = s["kx"] / k
        spread = s["kxx"] - middle * s["kx"]
        shared = s["kxy"] - middle * s["ky"]
        slope = np.where(spread > 1e-9, shared / np.where(spread > 1e-9, spread, 1.0), 0.0)
        total = total - slope * (s["kwx"] - middle * s["kw"])
        cross = s["kvxy"] - middle * s["kvy"] - mean * s["kvx"] + mean * middle * s["kv"]
        own = own - 2 * slope * cross + slope * slope * (s["kvxx"] - 2 * middle * s["kvx"] + middle * middle * s["kv"])
        pooled, used = pooled - slope * shared, 2.0 + (s["k"] > 0)
    free = np.maximum(n - used, 1.0)
    return total, np.maximum(np.maximum(own, pooled * (s["inverse"] / n)), 0.0) / free


def asymptotic_e_process(
    in_a: BoolArray,
    values: FloatArray,
    propensity: FloatArray | float,
    design: AsymptoticDesign,
    margin: float = 0.0,
    *,
    covariates: FloatArray | None = None,
) -> EProcess:
    """As `betting_e_process`, asymptotically, for values without a bound."""
    n = values.shape[-1]
    if n == 0:
        return EProcess(np.zeros(1), np.zeros(1, dtype=np.int64))
    path = asymptotic_path(values, two_arms(in_a, propensity), design, margin, covariates)
    return EProcess(np.concatenate(([0.0], path)), np.arange(n + 1, dtype=np.int64))


_SUMS = ("n", "y", "yy", "inverse", "w", "wy", "v", "vy", "vyy")
_COVARIATE_SUMS = ("k", "kx", "kxx", "ky", "kxy", "kw", "kwx", "kv", "kvx", "kvy", "kvxx", "kvxy")
_GATES = ("a_high", "a_low", "b_high", "b_low")
_KEPT = ("first", *_GATES, *_SUMS, *_COVARIATE_SUMS)


@dataclass
class AsymptoticState:
    """What `asymptotic_e_process` would have come to, kept up to date by `update` in constant time and memory. `sums`:
    the first value, people on either side of the gates, and the moments of `_moments`."""

    design: AsymptoticDesign
    margin: float = 0.0
    log_e: float = 0.0
    highest: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_KEPT, 0.0))

    @property
    def people(self) -> int:
        """People counted so far."""
        return int(self.sums["n"])

    def update(
        self,
        in_a: bool,
        value: float,
        phase: int = 0,
        propensity: float = 0.5,
        covariate: float | None = None,
        denominator: float = 1.0,
    ) -> float:
        """Count one more person and return the e-process, nats; `phase` matters through `propensity` alone. Raises
        InvalidStatisticsInput on values that are not finite, on ratios and on impossible probabilities."""
        if not math.isfinite(value) or denominator != 1 or not 0 < propensity < 1:
            raise InvalidStatisticsInput(
                f"need a finite value, no ratio, 0 < propensity < 1; got {value}, {denominator}, {propensity}",
                field="values",
            )
        s = self.sums
        n = s["n"]
        if not n:
            s["first"] = value
        y = value - s["first"]
        side = f"{'a' if in_a else 'b'}_{'high' if n and y > s['y'] / n else 'low'}"
        s[side] += 1
        w = 1 / propensity if in_a else -1 / (1 - propensity)
        v = w * w
        for name, amount in zip(
            _SUMS, (1.0, y, y * y, 1 / propensity + 1 / (1 - propensity), w, w * y, v, v * y, v * y * y), strict=True
        ):
            s[name] += amount
        if covariate is not None and math.isfinite(covariate):
            x = covariate
            known = (1.0, x, x * x, y, x * y, w, w * x, v, v * x, v * y, v * x * x, v * x * y)
            for name, amount in zip(_COVARIATE_SUMS, known, strict=True):
                s[name] += amount
        self._look()
        return self.log_e

    def _scored(self) -> tuple[float, float]:
        """Sum of the scores and variance of one, as `_score`."""
        s = self.sums
        total, variance = _score(s if s["k"] else {name: s[name] for name in _SUMS})
        return float(total), float(variance)

    @property
    def variance(self) -> float:
        """Of one score, floored by the pooled residuals."""
        return self._scored()[1]

    def _look(self) -> None:
        s = self.sums
        n, (total, variance) = s["n"], self._scored()
        if variance <= 0 or min(s[gate] for gate in _GATES) < self.design.least:
            self.log_e = 0.0
            return
        self.log_e = float(log_designed_mixture((total - n * self.margin) / math.sqrt(variance), n, self.design))
        self.highest = max(self.highest, self.log_e)

    def interval(self, alpha: float = 0.05) -> tuple[float, float, float]:
        """Effect, and a two-sided asymptotic confidence sequence for people to look at; infinite below two people."""
        n = self.sums["n"]
        if n < 2:
            return (math.nan if n == 0 else 0.0, -math.inf, math.inf)
        total, variance = self._scored()
        rho = asymptotic_rho(self.design.people_at_best, alpha)
        half = float(asymptotic_margin(math.sqrt(variance), n, rho, alpha))
        return total / n, total / n - half, total / n + half

    def pack(self) -> bytes:
        """The state as bytes, exactly."""
        numbers = (self.log_e, self.highest, *self.sums.values())
        return struct.pack(f"<{len(numbers)}d", *numbers)

    @classmethod
    def unpack(cls, packed: bytes, design: AsymptoticDesign, margin: float = 0.0) -> "AsymptoticState":
        """The state that was packed, under the same design and margin."""
        log_e, highest, *sums = struct.unpack(f"<{2 + len(_KEPT)}d", packed)
        return cls(design, margin, log_e, highest, dict(zip(_KEPT, sums, strict=True)))

    def restored(self, packed: bytes) -> "AsymptoticState":
        """As `unpack`, under this one's design and margin."""
        return AsymptoticState.unpack(packed, self.design, self.margin)
