"""The exact two-arm e-process for many histories at once, of binary values from the counts of every block.

For simulations: `excess_e_process` with an axis of runs in front. All runs share one course of phases.
"""

import numpy as np

from infra.statistics.betting import before
from infra.statistics.e_process import Design, Past, bettors, block_ids
from infra.statistics.two_arm import SMALLEST_RATE, BoolArray, FloatArray, IntArray, nearest_null_rate


def block_counts(
    in_a: BoolArray, values: BoolArray | FloatArray, phase: IntArray, block_people: int
) -> tuple[Past, IntArray]:
    """(people of a, sum of their values, people of b, sum of theirs) of every closed block, arrays (runs, blocks), and
    the people counted by the end of each block; `in_a` (runs, people) bool, `values` likewise in [0, 1] (or bool),
    `phase` (people,)."""
    ids = block_ids(phase, block_people)
    closed = int((ids >= 0).sum())
    starts = np.flatnonzero(np.diff(ids[:closed], prepend=-1))
    if not starts.size:
        return (np.zeros((in_a.shape[0], 0)),) * 4, np.zeros(0, dtype=np.int64)
    a, y = in_a[:, :closed], values[:, :closed]
    counts = tuple(np.add.reduceat(each, starts, axis=1, dtype=np.float64) for each in (a, a * y, ~a, ~a * y))
    return (counts[0], counts[1], counts[2], counts[3]), np.append(starts[1:], closed)


def counts_e_process(counts: Past, design: Design, margin: float = 0.0) -> FloatArray:
    """log e (nats) after every block, (runs, blocks), of binary values; no column for "nobody yet"."""
    n_a, k_a, n_b, k_b = counts
    if not n_a.shape[1]:
        return np.zeros_like(n_a)
    paths = [
        np.log(weight) + np.cumsum(log_count_factors(counts, rate_a, rate_b, margin), axis=1)
        for weight, rate_a, rate_b in bettors((before(n_a), before(k_a), before(n_b), before(k_b)), design, margin)
    ]
    return np.asarray(np.logaddexp.reduce(np.stack(paths), axis=0))


def log_count_factors(counts: Past, rate_a: FloatArray, rate_b: FloatArray, margin: float) -> FloatArray:
    """`log_block_factors` of binary values: sum_g k_g ln(p_g / x_g) + (n_g - k_g) ln((1 - p_g) / (1 - x_g)) where the
    bet is made, else 0."""
    n_a, k_a, n_b, k_b = counts
    p_a = np.clip(rate_a, SMALLEST_RATE, 1 - SMALLEST_RATE)
    p_b = np.clip(rate_b, SMALLEST_RATE, 1 - SMALLEST_RATE)
    x_a = nearest_null_rate(p_a, p_b, n_a, n_b, margin)
    x_b = x_a - margin
    bets = (p_a > p_b + margin) & (n_a > 0) & (n_b > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (
            k_a * np.log(p_a / x_a)
            + (n_a - k_a) * np.log((1 - p_a) / (1 - x_a))
            + k_b * np.log(p_b / x_b)
            + (n_b - k_b) * np.log((1 - p_b) / (1 - x_b))
        )
    return np.where(bets, found, 0.0)


def bounded_e_process(
    in_a: BoolArray, values: FloatArray, phase: IntArray, design: Design, margin: float = 0.0
) -> tuple[FloatArray, IntArray]:
    """log e (nats) after every block, (runs, blocks), of values in [0, 1], and the people counted by then; arrays as in
    `block_counts`. For binary values `counts_e_process` comes to the same, faster."""
    counts, people = block_counts(in_a, values, phase, design.block_people)
    n_a, k_a, n_b, k_b = counts
    if not people.size:
        return np.zeros_like(n_a), people
    sizes = np.diff(people, prepend=0)
    starts = people - sizes
    a, y = in_a[:, : people[-1]], values[:, : people[-1]]
    paths = []
    for weight, rate_a, rate_b in bettors((before(n_a), before(k_a), before(n_b), before(k_b)), design, margin):
        p_a = np.clip(rate_a, SMALLEST_RATE, 1 - SMALLEST_RATE)
        p_b = np.clip(rate_b, SMALLEST_RATE, 1 - SMALLEST_RATE)
        bets = (p_a > p_b + margin) & (n_a > 0) & (n_b > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            x_a = nearest_null_rate(p_a, p_b, n_a, n_b, margin)
            x_b = x_a - margin
            slope_a = np.where(bets, (p_a - x_a) / (x_a * (1 - x_a)), 0.0)
            slope_b = np.where(bets, (p_b - x_b) / (x_b * (1 - x_b)), 0.0)
        # 1 + slope (y - x) = offset + slope y
        offset_a = 1 - np.where(bets, slope_a * x_a, 0.0)
        offset_b = 1 - np.where(bets, slope_b * x_b, 0.0)
        slope = np.where(a, np.repeat(slope_a, sizes, axis=1), np.repeat(slope_b, sizes, axis=1))
        offset = np.where(a, np.repeat(offset_a, sizes, axis=1), np.repeat(offset_b, sizes, axis=1))
        factors = np.multiply.reduceat(offset + slope * y, starts, axis=1)
        paths.append(np.log(weight) + np.cumsum(np.log(factors), axis=1))
    return np.asarray(np.logaddexp.reduce(np.stack(paths), axis=0)), people
