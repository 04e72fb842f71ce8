"""The asymptotic e-process of adjusted scores, for values without a bound: valid once many people are in, hence gates.

Scores are those of `infra.statistics.betting` without ranges: z_i = y_i - (mean + slope (x_i - mean of x)) of earlier
people, phi_i = z_i (A_i / pi_a - B_i / pi_b), against "effect <= margin" summed to S_n = sum (phi_i - margin) /
sigma_n. The e-value mixes Gaussian likelihood ratios over positive effects with a half-normal of precision rho (Howard,
Ramdas, McAuliffe, Sekhon, Ann. Stat. 2021; Waudby-Smith et al., Ann. Stat. 2024, for its asymptotics):

    ln E = ln 2 + ln(rho / (n + rho)) / 2 + S^2 / (2 (n + rho)) + ln Phi(S / sqrt(n + rho))

What made such sequences fail on small arms (0 successes, so no variance) is ruled out: sigma^2 is never below what the
pooled residuals say, and nothing is believed before both arms have enough people on both sides of the mean. Most of
the wealth lies on the designed effect, exp(delta S - n delta^2 / 2), which is faster there than any wide mixture.
"""

import math
import struct
from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_ndtr, ndtri

from infra.statistics.betting import SLOPE_PEOPLE, Arms, before, two_arms
from infra.statistics.e_process import EProcess
from infra.statistics.sequences import asymptotic_margin, asymptotic_rho
from infra.statistics.two_arm import BoolArray, FloatArray, InvalidStatisticsInput

POWER = 0.8


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
    unknown. The first person only tells where the mean may lie."""
    if not bool(np.all(np.isfinite(values))):
        raise InvalidStatisticsInput("values must be finite", field="values")
    earlier = np.arange(values.shape[-1], dtype=np.float64)
    mean = before(values) / np.maximum(earlier, 1.0)
    plain = np.where(earlier > 0, values - mean, 0.0)
    z = plain if covariates is None else plain - _shift(plain, covariates)
    phi = z * arms.sign
    n = earlier + 1
    spread = np.cumsum(z * z, axis=-1) / n * (np.cumsum(arms.inverse_a + arms.inverse_b, axis=-1) / n)
    variance = np.maximum(np.cumsum(phi * phi, axis=-1) / n, spread)
    total = np.cumsum(phi, axis=-1) - n * margin
    log_e = log_designed_mixture(total / np.sqrt(np.maximum(variance, 1e-300)), n, design)
    a, b, high = arms.sign > 0, arms.sign < 0, (values > mean) & (earlier > 0)
    gates = [np.cumsum(side & level, axis=-1) >= design.least for side in (a, b) for level in (high, ~high)]
    return np.where(np.logical_and.reduce(gates) & (variance > 0), log_e, 0.0)


def _shift(plain: FloatArray, covariates: FloatArray) -> FloatArray:
    known = np.isfinite(covariates)
    x, z = np.where(known, covariates, 0.0), np.where(known, plain, 0.0)
    n, sum_x = before(known.astype(np.float64)), before(x)
    n1 = np.maximum(n, 1.0)
    spread = before(x * x) - sum_x**2 / n1
    slope = (before(x * z) - sum_x * before(z) / n1) / np.where(spread > 1e-9, spread, np.inf) * n / (n + SLOPE_PEOPLE)
    return np.where(known, slope * (x - sum_x / n1), 0.0)


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


_SUMS = ("people", "value", "squares", "inverse", "score", "score_squares", "covariates", "x", "z", "xx", "xz",
         "a_high", "a_low", "b_high", "b_low")  # fmt: skip


@dataclass
class AsymptoticState:
    """What `asymptotic_e_process` would have come to, kept up to date by `update` in constant time and memory."""

    design: AsymptoticDesign
    margin: float = 0.0
    log_e: float = 0.0
    highest: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0.0))

    @property
    def people(self) -> int:
        """People counted so far."""
        return int(self.sums["people"])

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
        n = s["people"]
        mean = s["value"] / max(n, 1.0)
        plain = value - mean if n else 0.0
        known = covariate is not None and math.isfinite(covariate)
        x = float(covariate) if known and covariate is not None else 0.0
        residual = plain - (self._shift(x) if known else 0.0)
        phi = residual * (1 / propensity if in_a else -1 / (1 - propensity))
        side = f"{'a' if in_a else 'b'}_{'high' if n and value > mean else 'low'}"
        scored = (1.0, value, residual**2, 1 / propensity + 1 / (1 - propensity), phi, phi**2)
        new = (*scored, float(known), x, plain if known else 0.0, x * x, x * plain)
        for name, amount in zip(_SUMS, new, strict=False):
            s[name] += amount
        s[side] += 1
        self._look()
        return self.log_e

    def _shift(self, x: float) -> float:
        s = self.sums
        n = s["covariates"]
        spread = s["xx"] - s["x"] ** 2 / max(n, 1.0)
        if spread <= 1e-9:
            return 0.0
        return (s["xz"] - s["x"] * s["z"] / n) / spread * n / (n + SLOPE_PEOPLE) * (x - s["x"] / n)

    @property
    def variance(self) -> float:
        """Of one score, floored by the pooled residuals."""
        s = self.sums
        n = max(s["people"], 1.0)
        return max(s["score_squares"] / n, s["squares"] / n * s["inverse"] / n)

    def _look(self) -> None:
        s = self.sums
        variance, n = self.variance, s["people"]
        if variance <= 0 or min(s["a_high"], s["a_low"], s["b_high"], s["b_low"]) < self.design.least:
            self.log_e = 0.0
            return
        total = (s["score"] - n * self.margin) / math.sqrt(variance)
        self.log_e = float(log_designed_mixture(total, n, self.design))
        self.highest = max(self.highest, self.log_e)

    def interval(self, alpha: float = 0.05) -> tuple[float, float, float]:
        """Effect, and a two-sided asymptotic confidence sequence for people to look at; infinite below two people."""
        n = self.sums["people"]
        if n < 2:
            return (math.nan if n == 0 else self.sums["score"], -math.inf, math.inf)
        effect = self.sums["score"] / n
        rho = asymptotic_rho(self.design.people_at_best, alpha)
        half = float(asymptotic_margin(math.sqrt(self.variance), n, rho, alpha))
        return effect, effect - half, effect + half

    def pack(self) -> bytes:
        """The state as bytes, exactly."""
        numbers = (self.log_e, self.highest, *self.sums.values())
        return struct.pack(f"<{len(numbers)}d", *numbers)

    @classmethod
    def unpack(cls, packed: bytes, design: AsymptoticDesign, margin: float = 0.0) -> "AsymptoticState":
        """The state that was packed, under the same design and margin."""
        log_e, highest, *sums = struct.unpack(f"<{2 + len(_SUMS)}d", packed)
        return cls(design, margin, log_e, highest, dict(zip(_SUMS, sums, strict=True)))

    def restored(self, packed: bytes) -> "AsymptoticState":
        """As `unpack`, under this one's design and margin."""
        return AsymptoticState.unpack(packed, self.design, self.margin)
