"""How reliable each person is: the posterior of the share of their votes that follow a taste at all.

A vote of person u on item i is, with probability r_u, what the person's taste k_u says of the item, else a vote that
does not look at the item:

    P(y | u, i) = r_u f(y; p_ik, b_uk) + (1 - r_u) f(y; q, b_u0),

f Bernoulli with the log-odds of its probability moved by the person's own leniency b (some people like everything a
little more: that is neither another taste nor carelessness). This is the two-coin model of Dawid and Skene (1979,
J. R. Stat. Soc. C 28) with the item's truth replaced by a taste's appeal, so that a person is believed when predictable
under their own best taste, not when they agree with most. r lives on a grid; its distribution among people is estimated
with everything else by EM (Kiefer and Wolfowitz 1956) with a Beta(6, 2) prior of `PRIOR_PEOPLE` people.
"""

from dataclasses import dataclass

import numpy as np

from ingest.trust.evidence import Evidence, Floats, Ints, sums
from ingest.trust.redundancy import Redundancy
from ingest.trust.tastes import Tastes, logit, sigmoid

GRID = np.linspace(0.0, 1.0, 11)
"""Values r may take."""
PRIOR_PEOPLE = 10.0
PSEUDO_SHARE = 1.0
"""People each taste has beforehand."""
INNER_STEPS = 10
LENIENCY_VARIANCE = 1.0
"""Prior variance of the person's own shift of the log-odds."""
COIN = 0.5
"""A careless duel is a coin."""


def grid_prior() -> Floats:
    """Beta(6, 2) for most people, and one in five for whom any r is as likely, on the grid; sums to 1."""
    inside = np.clip(GRID, 0.025, 0.975)
    mass = inside**5 * (1.0 - inside)
    return np.asarray(0.8 * mass / mass.sum() + 0.2 / len(GRID))


@dataclass(frozen=True)
class Rows:
    """Likelihoods of each row: `attentive` (n, K) under each taste, `careless` (n,). Sorted by nothing."""

    person: Ints
    attentive: Floats
    careless: Floats


@dataclass(frozen=True)
class Posterior:
    """`joint` (people, K, grid): the posterior of (taste, r); `evidence` (people,): log-likelihood, nats."""

    joint: Floats
    evidence: Floats

    @property
    def mean(self) -> Floats:
        """(people,) E[r]."""
        return np.asarray(self.joint.sum(axis=1) @ GRID)

    @property
    def tastes(self) -> Floats:
        """(people, K) probability of each taste."""
        return np.asarray(self.joint.sum(axis=2))

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """(people,), (people,): quantiles of r, linear between the points of the grid."""
        cumulative = np.cumsum(self.joint.sum(axis=1), axis=1)
        tail = (1.0 - level) / 2.0
        ends = [[float(np.interp(q, line, GRID)) for q in (tail, 1.0 - tail)] for line in cumulative]
        bounds = np.asarray(ends).reshape(-1, 2)
        return bounds[:, 0], bounds[:, 1]


def rows_of(
    evidence: Evidence, appeal: Floats, tastes: Tastes, mean: float, redundancy: Redundancy, accuracy: float
) -> Rows:
    """Likelihoods of every opinion, `appeal` (n, K) being what each taste says of the rows, and of every comparison.

    `mean`: what a careless person says before their own leniency. `accuracy`: how often an attentive person finds the
    known better answer of a honeypot.
    """
    careless = _likelihood(evidence, np.full((len(evidence.person), 1), mean))[:, 0]
    attentive = _likelihood(evidence, appeal)
    told, untold = redundancy.likelihoods(evidence.value, evidence.also)
    duels = _duels(evidence, tastes, accuracy)
    return Rows(
        np.concatenate([evidence.person, evidence.judge]),
        np.concatenate([attentive * told[:, None], duels]),
        np.concatenate([careless * untold, np.full(len(evidence.judge), COIN)]),
    )


def likelihoods(rows: Rows, people: int) -> Floats:
    """(people, K, grid) log-likelihood of each person's rows under each taste and each r, nats."""
    count = rows.attentive.shape[1]
    log = np.empty((people, count, len(GRID)))
    for g, r in enumerate(GRID):
        for k in range(count):
            log[:, k, g] = sums(rows.person, np.log(r * rows.attentive[:, k] + (1.0 - r) * rows.careless), people)
    return log


def posterior(log: Floats, shares: Floats, prior: Floats) -> Posterior:
    """Posterior of each person's taste and r from `likelihoods`; people without rows keep the prior."""
    joint = log + np.log(shares)[None, :, None] + np.log(prior)[None, None, :]
    top = joint.max(axis=(1, 2), keepdims=True)
    joint = np.exp(joint - top)
    total = joint.sum(axis=(1, 2), keepdims=True)
    return Posterior(joint / total, (top + np.log(total))[:, 0, 0])


def among_people(log: Floats, shares: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Shares (K,) of the tastes and distribution (grid,) of r among the people of `log`: some EM steps from where they
    stand, the likelihoods held. EM moves mass over the grid slowly, and these steps cost little."""
    for _ in range(INNER_STEPS):
        joint = posterior(log, shares, prior).joint
        shares = joint.sum(axis=(0, 2)) + PSEUDO_SHARE
        prior = joint.sum(axis=(0, 1)) + PRIOR_PEOPLE * grid_prior()
        shares, prior = shares / shares.sum(), prior / prior.sum()
    return shares, prior


def attention(rows: Rows, found: Posterior, n: int) -> Floats:
    """(n, K) probability that each of the first `n` rows followed taste k: what it counts for in that taste."""
    attentive, careless, person = rows.attentive[:n], rows.careless[:n], rows.person[:n]
    share = np.zeros_like(attentive)
    for g, r in enumerate(GRID):
        follows = r * attentive
        share += found.joint[person, :, g] * follows / (follows + (1.0 - r) * careless[:, None])
    return share


def _likelihood(evidence: Evidence, probability: Floats) -> Floats:
    """(n, K) Bernoulli likelihood of the rows, each person's leniency fitted (posterior mode, three Newton steps)."""
    value = evidence.value[:, None]
    odds = logit(probability)
    shift = np.zeros((evidence.people, probability.shape[1]))
    for _ in range(3):
        p = sigmoid(odds + shift[evidence.person])
        for k in range(probability.shape[1]):
            slope = sums(evidence.person, value[:, 0] - p[:, k], evidence.people) - shift[:, k] / LENIENCY_VARIANCE
            bend = sums(evidence.person, p[:, k] * (1.0 - p[:, k]), evidence.people) + 1.0 / LENIENCY_VARIANCE
            shift[:, k] += np.clip(slope / bend, -2.0, 2.0)
    p = np.clip(sigmoid(odds + shift[evidence.person]), 1e-6, 1.0 - 1e-6)
    return np.asarray(np.exp(value * np.log(p) + (1.0 - value) * np.log1p(-p)))


def _duels(evidence: Evidence, tastes: Tastes, accuracy: float) -> Floats:
    """(duels, K): Bradley-Terry on each taste's log-odds, or the honeypot's accuracy whatever the taste."""
    appeal = logit(tastes.appeal(evidence.features)) if len(evidence.judge) else np.zeros((evidence.items, 1))
    modelled = sigmoid(appeal[evidence.chosen] - appeal[evidence.rejected])
    known = np.where(evidence.right == 1.0, accuracy, 1.0 - accuracy)
    is_known = ~np.isnan(evidence.right)
    return np.where(is_known[:, None], known[:, None], np.broadcast_to(modelled, (len(known), tastes.count)))
