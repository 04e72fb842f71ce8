"""A straight line through points whose both coordinates are estimates with errors of known size. Pure numpy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from infra.contracts import PlauditError

Array = NDArray[np.float64]

_STEPS = 181


class TooFewPoints(PlauditError):
    """Points that no line with an interval goes through."""

    code = "too_few_points"
    status = 422


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x with the slope's 95 % interval (infinite where the points do not bound it).

    `scatter` >= 0: standard deviation of y about the line beyond what the errors of the points explain.
    For `predict`: `centre`, the weighted mean of x; `weight`, the sum of the weights; `spread_x`, the weighted sum of
    squared deviations from the centre; `points`, their number.
    """

    slope: float
    intercept: float
    slope_low: float
    slope_high: float
    scatter: float
    centre: float
    weight: float
    spread_x: float
    points: int

    def predict(self, x: float, error: float = 0.0) -> tuple[float, float, float]:
        """(mean, low, high) of the true y of a new point whose x is known up to `error`; 95 %, Student's t."""
        mean = self.intercept + self.slope * x
        own = self.scatter**2 + (self.slope * error) ** 2
        known = 1.0 / self.weight + (x - self.centre) ** 2 / self.spread_x
        half = float(stats.t.ppf(0.975, self.points - 2)) * float(np.sqrt(own + known))
        return mean, mean - half, mean + half


def fit_line(x: Array, y: Array, error_x: Array, error_y: Array) -> Line:
    """York's line with room for the points to scatter about it. x, y, error_x, error_y [n], n >= 3, errors >= 0.

    Minimises S = sum w_i (y_i - a - b x_i)^2 with w_i = 1 / (error_y_i^2 + scatter^2 + b^2 error_x_i^2) (York et al.
    2004, American Journal of Physics 72, 367; with error_x = 0 weighted least squares, with errors in a fixed ratio
    Deming's line). `scatter` is the least one for which S is no more than n - 2 (Paule & Mandel 1982): what the model
    itself gets wrong about a policy does not vanish with more prompts or people (Fuller 1987, section 3.1). The
    interval holds the slopes whose S exceeds the least one by at most the square of Student's t(.975, n - 2). Errors of
    x are taken to be independent between the points. Raises TooFewPoints.
    """
    count = len(x)
    if count < 3 or float(np.ptp(x)) == 0.0:
        raise TooFewPoints(
            f"{count} points at {len(np.unique(x))} different places: a line with an interval needs three points and "
            "two places; keep a point for every candidate that was tried",
            field="points",
        )
    floor = (1e-9 * (float(np.ptp(y)) + float(np.ptp(x)))) ** 2
    variance_y = np.square(error_y) + floor
    scatter2 = _scatter(x, y, np.square(error_x), variance_y)
    objective = _objective(x, y, np.square(error_x), variance_y + scatter2)
    angle = _least(objective)
    slope = float(np.tan(angle))
    low, high = _interval(objective, angle, float(stats.t.ppf(0.975, count - 2)) ** 2)
    weights = 1.0 / (variance_y + scatter2 + slope**2 * np.square(error_x))
    centre = float(np.average(x, weights=weights))
    return Line(
        slope=slope,
        intercept=float(np.average(y, weights=weights)) - slope * centre,
        slope_low=low,
        slope_high=high,
        scatter=float(np.sqrt(scatter2)),
        centre=centre,
        weight=float(weights.sum()),
        spread_x=float(weights @ np.square(x - centre)),
        points=count,
    )


def _objective(x: Array, y: Array, variance_x: Array, variance_y: Array) -> Callable[[Array], Array]:
    """Angles [K] of the line -> S [K] at the best intercepts."""

    def total(angles: Array) -> Array:
        slopes = np.tan(angles)[..., None]
        weights = 1.0 / (variance_y + slopes**2 * variance_x)
        rest = y - slopes * x
        rest = rest - (weights * rest).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True)
        return np.asarray((weights * np.square(rest)).sum(-1))

    return total


def _angles() -> Array:
    return np.linspace(-np.pi / 2, np.pi / 2, _STEPS + 2)[1:-1]


def _least(objective: Callable[[Array], Array]) -> float:
    """Angle of least S: a grid over all angles, refined about its best, so that no local minimum is taken."""
    grid = _angles()
    best, step = grid[int(np.argmin(objective(grid)))], grid[1] - grid[0]
    bounds = (max(best - step, -np.pi / 2), min(best + step, np.pi / 2))
    found = optimize.minimize_scalar(
        lambda angle: float(objective(np.array(angle))), bounds=bounds, method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x)


def _scatter(x: Array, y: Array, variance_x: Array, variance_y: Array) -> float:
    """The least scatter^2 with S <= n - 2; S falls as it grows."""
    freedom = len(x) - 2

    def excess(scatter2: float) -> float:
        objective = _objective(x, y, variance_x, variance_y + scatter2)
        return float(objective(np.array(_least(objective)))) - freedom

    if excess(0.0) <= 0.0:
        return 0.0
    top = float(np.square(y - y.mean()).sum()) + float(variance_y.max())
    return float(optimize.brentq(excess, 0.0, top, xtol=1e-6 * top, rtol=1e-6))


def _interval(objective: Callable[[Array], Array], angle: float, allowed: float) -> tuple[float, float]:
    """Slopes about the best one until S first exceeds its least value by `allowed`; infinite where it never does."""
    limit = float(objective(np.array(angle))) + allowed
    grid = _angles()

    def end(side: Array, beyond: float) -> float:
        over = objective(side) > limit
        if not over.any():
            return beyond
        first = int(np.argmax(over))
        inside = side[first - 1] if first else angle
        return float(np.tan(optimize.brentq(lambda a: float(objective(np.array(a))) - limit, inside, side[first])))

    return end(grid[grid < angle][::-1], float("-inf")), end(grid[grid > angle], float("inf"))
