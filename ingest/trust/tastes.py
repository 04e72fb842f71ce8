"""Tastes: what groups of people would say about each answer, so that agreement need not mean conformity.

Each taste k has its own appeal of every item,

    p_ik = (N1_ik + m s(w_k . x_i)) / (N_ik + m),

the mean of a Beta posterior around a logistic regression on the item's features x_i, where N_ik are the attentive votes
of people of that taste and N1_ik the likes among them. See `ingest.trust.reliability` for how people are told apart.
"""

from dataclasses import dataclass

import numpy as np

from ingest.trust.evidence import Evidence, Floats, sums

PRIOR_VOTES = 4.0
"""m: how many votes the features' prediction is worth."""
RIDGE = 2.0
"""Penalty (RIDGE / 2) |w|^2; features have unit variance."""
NEWTON_STEPS = 3
SMALLEST = 1e-3
"""Probabilities are held in [SMALLEST, 1 - SMALLEST]."""


@dataclass(frozen=True)
class Tastes:
    """K tastes: `slopes` (K, d + 1), intercept last; `votes` and `likes` (items, K); `shares` (K,) of the people."""

    slopes: Floats
    votes: Floats
    likes: Floats
    shares: Floats

    @property
    def count(self) -> int:
        """K."""
        return len(self.shares)

    def prior(self, features: Floats) -> Floats:
        """(items, K) what the features alone predict."""
        return sigmoid(with_intercept(features) @ self.slopes.T)

    def appeal(self, features: Floats) -> Floats:
        """(items, K) probability of a like by an attentive person of each taste."""
        return _held((self.likes + PRIOR_VOTES * self.prior(features)) / (self.votes + PRIOR_VOTES))

    def without_own(self, evidence: Evidence, own: Floats) -> Floats:
        """(n, K) appeal of each row's item, less the row's own contribution `own` (n, K) to it."""
        prior = self.prior(evidence.features)[evidence.item]
        likes = self.likes[evidence.item] - own * evidence.value[:, None]
        votes = self.votes[evidence.item] - own
        return _held((np.maximum(likes, 0.0) + PRIOR_VOTES * prior) / (np.maximum(votes, 0.0) + PRIOR_VOTES))


def fit_tastes(evidence: Evidence, weight: Floats, shares: Floats, slopes: Floats | None = None) -> Tastes:
    """Tastes from rows weighted by `weight` (n, K): how much each row counts for each taste.

    `slopes` (K, d + 1): where Newton's method starts.
    """
    count = weight.shape[1]
    votes = np.stack([sums(evidence.item, weight[:, k], evidence.items) for k in range(count)], axis=1)
    likes = np.stack([sums(evidence.item, weight[:, k] * evidence.value, evidence.items) for k in range(count)], axis=1)
    design = with_intercept(evidence.features)
    start = np.zeros((count, design.shape[1])) if slopes is None else slopes
    found = np.stack([_logistic(design, votes[:, k], likes[:, k], start[k]) for k in range(count)])
    return Tastes(found, votes, likes, shares)


def _logistic(design: Floats, votes: Floats, likes: Floats, slopes: Floats) -> Floats:
    """Ridge logistic regression of `likes` out of `votes` per row of `design`, a few Newton steps from `slopes`."""
    ridge = np.full(design.shape[1], RIDGE)
    ridge[-1] = 0.1  # the intercept is nearly free
    seen = votes > 0
    rows, n, y = design[seen], votes[seen], likes[seen]
    for _ in range(NEWTON_STEPS):
        p = sigmoid(rows @ slopes)
        gradient = rows.T @ (y - n * p) - ridge * slopes
        hessian = (rows * (n * p * (1 - p))[:, None]).T @ rows + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        slopes = slopes + step * min(1.0, 3.0 / max(float(np.abs(step).max()), 1e-12))
    return slopes


def with_intercept(features: Floats) -> Floats:
    """(items, d + 1): a last column of ones."""
    return np.hstack([features, np.ones((len(features), 1))])


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def logit(p: Floats) -> Floats:
    """log(p / (1 - p))."""
    return np.asarray(np.log(p) - np.log1p(-p))


def _held(p: Floats) -> Floats:
    return np.clip(p, SMALLEST, 1.0 - SMALLEST)
