"""The exact two-arm test of one block of people: e-variables for the null that one arm is not above the other.

A block holds people of both arms. `a` is the arm thought to be higher, `b` the other; rates are probabilities of a
binary outcome, or means of an outcome bounded to [0, 1]. The null is p_a <= p_b + margin.
"""

import numpy as np
from numpy.typing import NDArray

from infra.contracts.errors import PlauditError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

SMALLEST_RATE = 1e-4
"""Predicted rates keep this distance from 0 and 1, so that no single outcome can bring the wealth to zero."""
_BISECTIONS = 60


class InvalidStatisticsInput(PlauditError):
    """Numbers that an estimator cannot work with."""

    code = "invalid_statistics_input"
    status = 422


def sums_by_block(block: IntArray, weights: FloatArray | BoolArray, blocks: int) -> FloatArray:
    """Sum of `weights` in each block, one entry a block."""
    return np.bincount(block, weights=weights.astype(np.float64), minlength=blocks).astype(np.float64)


def nearest_null_rate(
    rate_a: FloatArray, rate_b: FloatArray, people_a: FloatArray, people_b: FloatArray, margin: float
) -> FloatArray:
    """The null's own rate of arm `a` that lies nearest the predicted pair, in Kullback-Leibler divergence.

    Minimises n_a KL(p_a || x) + n_b KL(p_b || x - margin) over x; the null's rate of arm `b` is x - margin. For
    margin 0 this is the mean weighted by people; else the root of the derivative, by bisection (Farrington and
    Manning, Stat. Med. 1990, give the same root as a cubic). Arrays are one entry a block; every block has at least
    one person.
    """
    if margin == 0.0:
        return np.asarray((people_a * rate_a + people_b * rate_b) / (people_a + people_b))
    low = np.full(rate_a.shape, max(0.0, margin))
    high = np.full(rate_a.shape, min(1.0, 1.0 + margin))
    for _ in range(_BISECTIONS):
        x = 0.5 * (low + high)
        y = x - margin
        # The sign of the log-likelihood's derivative, multiplied out so that nothing divides by zero at the ends.
        slope = people_a * (rate_a - x) * y * (1 - y) + people_b * (rate_b - y) * x * (1 - x)
        low, high = np.where(slope > 0, x, low), np.where(slope > 0, high, x)
    return np.asarray(0.5 * (low + high))


def log_block_factors(
    in_a: BoolArray,
    values: FloatArray,
    block: IntArray,
    rate_a: FloatArray,
    rate_b: FloatArray,
    margin: float = 0.0,
) -> FloatArray:
    """Logarithm (nats) of every block's e-variable against p_a <= p_b + margin.

    `in_a`, `values` (in [0, 1]), `block` (0..B-1, every block present) are one entry a person; `rate_a`, `rate_b` one
    entry a block, predicted from earlier blocks alone. With c_g = (p_g - x_g) / (x_g (1 - x_g)) and x the nearest null
    rates, the factor is

        prod_i (1 + c_g(i) (y_i - x_g(i))),   for binary y:  prod_g (p_g / x_g)^y_g ((1 - p_g)/(1 - x_g))^(n_g - y_g)

    (Turner, Ly and Grunwald, "Generic E-variables for exact sequential k-sample tests that allow for optional
    stopping"). Why its mean is at most 1 under the null: given who is in the block and which arm each is in, people
    are independent and the mean is prod_g (1 + c_g d_g)^n_g, d_g the distance of the true mean from x_g. At x,
    n_a c_a + n_b c_b = 0, so by concavity of the logarithm the product is at most 1 on the line d_a = d_b; away from
    the line, inside the null, it only falls, since c_a > 0 > c_b. That last step holds only when the prediction lies
    outside the null, so a block whose predicted p_a is not above p_b + margin does not bet: its factor is 1. A block
    without people of one arm has factor 1 too.
    """
    blocks = rate_a.shape[0]
    people_a = sums_by_block(block, in_a, blocks)
    people_b = sums_by_block(block, ~in_a, blocks)
    p_a = np.clip(rate_a, SMALLEST_RATE, 1 - SMALLEST_RATE)
    p_b = np.clip(rate_b, SMALLEST_RATE, 1 - SMALLEST_RATE)
    x_a = nearest_null_rate(p_a, p_b, people_a, people_b, margin)
    x_b = x_a - margin
    bets = (p_a > p_b + margin) & (people_a > 0) & (people_b > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_a = np.where(bets, (p_a - x_a) / (x_a * (1 - x_a)), 0.0)
        slope_b = np.where(bets, (p_b - x_b) / (x_b * (1 - x_b)), 0.0)
    slope = np.where(in_a, slope_a[block], slope_b[block])
    centre = np.where(in_a, x_a[block], x_b[block])
    return sums_by_block(block, np.log1p(slope * (values - centre)), blocks)
