"""Reading time as a reward after removing what length explains. Pure: arrays and numbers in, a frozen model out.

    log t = a_d + b_d log n + residual,        t active seconds, n tokens, d the class of device,

by Huber's regression, which a few tabs left open cannot bend; then the share of readers with a smaller residual.
"""

import bisect
import math
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Kind = Literal["read", "bounce", "abandoned"]

ALL_DEVICES = "all"
"""The model for devices too rare for one of their own, and for those unknown."""
QUANTILES = 101
"""Residual quantiles kept: 0, 1, ..., 100 percent."""


class DeviceModel(msgspec.Struct, frozen=True):
    """Of one class of device: intercept, slope, the 101 percentiles of the residuals, and how many readings made it.

    `scale` is Huber's sigma, in units of log seconds."""

    intercept: float
    slope: float
    scale: float
    quantiles: tuple[float, ...]
    readings: int


class DwellModel(msgspec.Struct, frozen=True):
    """A fitted model; `value` is the reward. Times in seconds; `cap_quantile` in (0, 1]. `bounces` and `abandoned`: how
    many reading times of either kind came beside those it was fitted on."""

    devices: dict[str, DeviceModel]
    bounce_seconds: float
    abandoned_seconds: float
    cap_quantile: float
    bounces: int = 0
    abandoned: int = 0

    def value(self, seconds: float, tokens: float, device: str | None) -> float | None:
        """Share of readers who read an answer of this length for less long, at most `cap_quantile`; 0 for a bounce,
        None for a tab left open."""
        kind = kind_of(seconds, self.bounce_seconds, self.abandoned_seconds)
        if kind == "abandoned":
            return None
        if kind == "bounce":
            return 0.0
        model = self.devices.get(device or ALL_DEVICES) or self.devices[ALL_DEVICES]
        residual = math.log(seconds) - (model.intercept + model.slope * math.log(max(tokens, 1.0)))
        return min(share_below(model.quantiles, residual), self.cap_quantile)


def kind_of(seconds: float, bounce_seconds: float, abandoned_seconds: float) -> Kind:
    """Whether a reading time is one: left at once, read, or left open."""
    if seconds > abandoned_seconds:
        return "abandoned"
    return "bounce" if seconds < bounce_seconds or seconds <= 0 else "read"


def share_below(quantiles: tuple[float, ...], value: float) -> float:
    """Share in [0, 1] of a distribution below `value`, from its evenly spaced quantiles, linear between them.

    Plain arithmetic, one number at a time: the same bits whatever else is computed beside it.
    """
    last = len(quantiles) - 1
    if value <= quantiles[0]:
        return 0.0
    if value >= quantiles[last]:
        return 1.0
    right = bisect.bisect_right(quantiles, value)
    low, high = quantiles[right - 1], quantiles[right]
    return (right - 1 + (value - low) / (high - low)) / last


def fit(
    seconds: FloatArray,
    tokens: FloatArray,
    devices: list[str],
    *,
    min_readings: int,
    bounce_seconds: float,
    abandoned_seconds: float,
    cap_quantile: float,
) -> DwellModel | None:
    """Fit on readings (n,) that are neither bounces nor abandoned (those are left out here); None with fewer than
    `min_readings` of them. A device class with fewer has no model of its own."""
    read = (seconds >= bounce_seconds) & (seconds > 0) & (seconds <= abandoned_seconds)
    if int(read.sum()) < min_readings:
        return None
    log_seconds, log_tokens = np.log(seconds[read]), np.log(np.maximum(tokens[read], 1.0))
    of = np.array(devices)[read]
    models = {ALL_DEVICES: _fit_one(log_tokens, log_seconds)}
    for device in sorted(set(of) - {ALL_DEVICES}):
        mine = of == device
        if int(mine.sum()) >= min_readings:
            models[device] = _fit_one(log_tokens[mine], log_seconds[mine])
    kinds = counts(seconds, bounce_seconds, abandoned_seconds)
    return DwellModel(models, bounce_seconds, abandoned_seconds, cap_quantile, kinds["bounce"], kinds["abandoned"])


def counts(seconds: FloatArray, bounce_seconds: float, abandoned_seconds: float) -> Mapping[Kind, int]:
    """How many of these times (n,) are readings, bounces, and tabs left open."""
    kinds = [kind_of(float(one), bounce_seconds, abandoned_seconds) for one in seconds]
    return {"read": kinds.count("read"), "bounce": kinds.count("bounce"), "abandoned": kinds.count("abandoned")}


def _fit_one(log_tokens: FloatArray, log_seconds: FloatArray) -> DeviceModel:
    """Huber's regression, epsilon 1.35: 95 % efficient at the normal (Huber and Ronchetti 2009, section 7)."""
    from sklearn.linear_model import HuberRegressor

    centre = float(log_tokens.mean())
    spread = float(log_tokens.std())
    if spread < 1e-9:  # every answer has one length: it explains nothing
        slope, intercept, scale = 0.0, float(np.median(log_seconds)), float(log_seconds.std())
    else:
        fitted = HuberRegressor(epsilon=1.35, alpha=0.0, max_iter=1000).fit(
            ((log_tokens - centre) / spread)[:, None], log_seconds
        )
        slope = float(fitted.coef_[0]) / spread
        intercept, scale = float(fitted.intercept_) - slope * centre, float(fitted.scale_)
    residuals = log_seconds - (intercept + slope * log_tokens)
    quantiles = np.quantile(residuals, np.linspace(0.0, 1.0, QUANTILES))
    return DeviceModel(intercept, slope, scale, tuple(float(q) for q in quantiles), len(residuals))
