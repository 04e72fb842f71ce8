"""Online control of the false discovery rate: what each challenger of a year must show, given those before it.

Pure functions of the stream of final e-values: challenger t's e-value at the instant its experiment ended (a stopping
time, never the highest it had been). `gamma` spends the error budget over positions; it sums to at most 1.

    e-LOND         reject t when E_t >= 1 / (alpha gamma_t (R_{t-1} + 1))                  (Xu and Ramdas, AISTATS 2024)
    closed e-LOND  reject t when every set S of challengers up to t with t in it has
                   sum_{i in S} gamma_{rank of i in S} E_i >= |S and R| / (alpha |R|), R the rejections with t
                   (online e-closure: Xu, Fischer and Ramdas, 2026): never rejects less than e-LOND
    e-LORD         reject t when E_t >= 1 / alpha_t, alpha_t = omega_t (alpha - spent)(R_{t-1} + 1), spent the sum of
                   alpha_j / (R_{j-1} + 1) (Zhang, Wang, Wang and Zou, 2025)

R: rejections so far. The first two hold under any dependence between challengers; the third needs E_t to be an e-value
given the past, as when challengers run one after the other.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from infra.statistics.two_arm import FloatArray, InvalidStatisticsInput

Procedure = Literal["e_lond", "closed_e_lond", "e_lord"]


def standard_spending(tests: int) -> FloatArray:
    """gamma_t proportional to ln(max(t, 2)) / (t exp(sqrt(ln t))), over infinitely many tests (Javanmard and
    Montanari, Ann. Stat. 2018, eq. 31); the first `tests` of them."""
    t = np.arange(1, tests + 1, dtype=np.float64)
    return np.asarray(0.0722 * np.log(np.maximum(t, 2.0)) / (t * np.exp(np.sqrt(np.log(t)))))


def even_spending(tests: int, horizon: int) -> FloatArray:
    """gamma_t = 1 / horizon up to `horizon` (the challengers of a year), nothing after."""
    t = np.arange(1, tests + 1)
    return np.where(t <= horizon, 1.0 / horizon, 0.0)


def power_spending(tests: int, horizon: int, power: float = 0.5) -> FloatArray:
    """gamma_t proportional to t^-power up to `horizon`, nothing after: between even and standard."""
    every = np.arange(1, horizon + 1, dtype=np.float64) ** -power
    t = np.arange(1, tests + 1, dtype=np.float64)
    return np.where(t <= horizon, t**-power / every.sum(), 0.0)


def next_log_threshold(
    log_e: Sequence[float], rejected: Sequence[bool], alpha: float, gamma: FloatArray, procedure: Procedure = "e_lond"
) -> float:
    """What the next challenger's e-value must reach, nats; infinite when nothing is left to spend.

    `log_e`, `rejected`: of every challenger before, in order; `gamma` covers at least one more than those. For e-LORD
    `gamma` are the shares omega_t of the remaining budget. Raises InvalidStatisticsInput.
    """
    position = len(log_e)
    if not 0 < alpha < 1 or len(rejected) != position or len(gamma) <= position:
        raise InvalidStatisticsInput(
            f"need 0 < alpha < 1, a decision for each of {position} e-values and {position + 1} gammas", field="alpha"
        )
    if procedure == "closed_e_lond":
        return _closed_threshold(np.exp(np.minimum(np.asarray(log_e), 500.0)), np.asarray(rejected), alpha, gamma)
    discoveries = int(np.sum(rejected))
    if procedure == "e_lond":
        level = alpha * gamma[position] * (discoveries + 1)
    else:
        left = alpha
        for share in gamma[:position]:
            left -= share * left
        level = gamma[position] * left * (discoveries + 1)
    return float(-np.log(level)) if level > 0 else float("inf")


def _closed_threshold(e: FloatArray, rejected: np.ndarray, alpha: float, gamma: FloatArray) -> float:
    """max over sizes r of (1 / (alpha |R|) - least[r]) / gamma_{r+1}: least[r] is the smallest, over sets S of r
    earlier challengers, of sum gamma_rank E - |S and R| / (alpha |R|), by dynamic programming over challengers."""
    price = 1 / (alpha * (int(rejected.sum()) + 1))
    least = np.full(len(e) + 1, np.inf)
    least[0] = 0.0
    for k, value in enumerate(e):
        # Taken as the (r + 1)-th of its set, from the largest r down so that each challenger is taken once.
        taken = least[: k + 1] + gamma[: k + 1] * value - (price if rejected[k] else 0.0)
        least[1 : k + 2] = np.minimum(least[1 : k + 2], taken)
    with np.errstate(divide="ignore"):
        need = np.where(gamma[: len(e) + 1] > 0, (price - least) / gamma[: len(e) + 1], np.inf)
    return float(np.log(max(float(need.max()), 1e-300)))


def decide_stream(log_e: Sequence[float], alpha: float, gamma: FloatArray, procedure: Procedure) -> list[bool]:
    """Which of a stream of challengers are discoveries, each decided when it came."""
    rejected: list[bool] = []
    for position, value in enumerate(log_e):
        rejected.append(bool(value >= next_log_threshold(log_e[:position], rejected, alpha, gamma, procedure)))
    return rejected
