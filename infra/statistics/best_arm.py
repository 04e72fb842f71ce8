"""Several candidates at once: which is best with a bounded error, and whom to show next to find out soon.

Every ordered pair of arms has its own e-process (`pair_of_arms`: people in neither score 0), valid under any allocation
whose probabilities were logged before the coin fell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, logsumexp

from infra.statistics.betting import BettingDesign, gains, pair_of_arms, scores
from infra.statistics.two_arm import BoolArray, FloatArray, IntArray, InvalidStatisticsInput

Pair = tuple[int, int]


@dataclass(frozen=True)
class BestArm:
    """`superior`: candidates shown to be better than the control; `best`: the arm shown to be better than every other,
    the control included, if there is one; `threshold`: nats that each e-value had to reach."""

    superior: tuple[int, ...]
    best: int | None
    threshold: float


def pairwise_log_e(
    arm: IntArray, values: FloatArray, probabilities: FloatArray, design: BettingDesign
) -> dict[Pair, FloatArray]:
    """log e (nats) after each person against "arm j is not above arm k", for every ordered pair (j, k).

    `arm` (n,) in 0..K-1, 0 the control; `values` (n,) in [0, 1]; `probabilities` (n, K): of every arm, as logged when
    the person was assigned.
    """
    arms = probabilities.shape[1]
    found: dict[Pair, FloatArray] = {}
    residuals = scores(values)
    for j in range(arms):
        for k in range(arms):
            if j == k:
                continue
            pair = pair_of_arms(_of(arm, j), _of(arm, k), probabilities[:, j], probabilities[:, k])
            paths = [np.log(w) + np.cumsum(np.log1p(gain)) for w, gain in gains(residuals, pair, design)]
            found[j, k] = np.logaddexp.reduce(np.stack(paths), axis=0)
    return found


def _of(arm: IntArray, index: int) -> BoolArray:
    return np.asarray(arm == index)


def decide_best_arm(log_e: Mapping[Pair, float], arms: int, alpha: float) -> BestArm:
    """Decide from the e-values (nats) of all ordered pairs of `arms` arms, 0 the control.

    Each must reach ln((arms - 1) / alpha). Then with probability 1 - alpha, at every look at once: nothing is called
    superior that is not (at most arms - 1 null pairs with the control), and nothing is called best that is worse than
    the true best: that takes one of the arms - 1 false e-values against the true best arm to reach the threshold.
    """
    if arms < 2 or not 0 < alpha < 1:
        raise InvalidStatisticsInput(f"need 2 arms or more and 0 < alpha < 1, got {arms} and {alpha}", field="arms")
    threshold = float(np.log((arms - 1) / alpha))
    superior = tuple(k for k in range(1, arms) if log_e[k, 0] >= threshold)
    best = [j for j in range(arms) if all(log_e[j, k] >= threshold for k in range(arms) if k != j)]
    return BestArm(superior, best[0] if best else None, threshold)


def log_probability_best(means: FloatArray, errors: FloatArray) -> FloatArray:
    """ln P(arm k has the highest mean) under independent Gaussian posteriors; by quadrature, no random numbers.

    P_k = integral of phi_k(x) prod_{j != k} Phi_j(x) dx, in logarithms: arms that are far behind keep their order.
    """
    low, high = float((means - 8 * errors).min()), float((means + 8 * errors).max())
    points = int(min(max(40 * (high - low) / float(errors.min()), 400), 20_000))
    standard = (np.linspace(low, high, points) - means[:, None]) / errors[:, None]
    log_below = log_ndtr(standard)
    log_density = -0.5 * standard**2 - np.log(errors)[:, None] + log_below.sum(0) - log_below
    weight = logsumexp(log_density, axis=1)
    return np.asarray(weight - logsumexp(weight))


def probability_best(means: FloatArray, errors: FloatArray) -> FloatArray:
    """P(arm k has the highest mean), arrays (arms,)."""
    return np.exp(log_probability_best(means, errors))


def top_two_allocation(
    means: Sequence[float], errors: Sequence[float], *, leader: float = 0.5, floor: float = 0.05
) -> FloatArray:
    """Probability of every arm for the next people, by top-two Thompson sampling (Russo, Oper. Res. 2020).

    psi_k = P_k (leader + (1 - leader) sum_{j != k} P_j / (1 - P_j)), mixed with `floor` for every arm so that logged
    probabilities never come near 0. `means`, `errors` > 0: posterior of each arm's mean; a pure function of the past.
    """
    m, s = np.asarray(means, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if m.size < 2 or m.shape != s.shape or not np.all(s > 0) or not 0 < floor * m.size <= 1 or not 0 <= leader <= 1:
        raise InvalidStatisticsInput(
            "need two arms or more, positive errors, 0 < floor <= 1 / arms and 0 <= leader <= 1", field="errors"
        )
    best = log_probability_best(m, s)
    # ln(1 - P_j) as the sum of the others, which stays exact when one arm is all but certain.
    rest = np.array([logsumexp(np.delete(best, j)) for j in range(m.size)])
    second = np.exp(best[:, None] + best[None, :] - rest[None, :])
    np.fill_diagonal(second, 0.0)
    shares = leader * np.exp(best) + (1 - leader) * second.sum(axis=1)
    return np.asarray(floor + (1 - floor * m.size) * shares / shares.sum())
