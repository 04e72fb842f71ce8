"""EM for tastes and reliability together, cross-fitted: nobody is measured by predictions from their own votes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.trust.evidence import Evidence, Floats, Ints, sums
from ingest.trust.leading import leading_vectors
from ingest.trust.redundancy import Redundancy, fit_redundancy
from ingest.trust.reliability import (
    GRID,
    Posterior,
    among_people,
    attention,
    grid_prior,
    likelihoods,
    posterior,
    rows_of,
)
from ingest.trust.tastes import Tastes, fit_tastes

ITERATIONS = 20
FEWEST_PEOPLE = 10
"""People there must be for each taste that is looked for."""
SETTLED = 2e-3
"""EM ends once no share of a taste, nor of a value of r, moves by as much."""


@dataclass(frozen=True)
class Model:
    """Everything learnt from some people, by which others can be judged."""

    tastes: Tastes
    redundancy: Redundancy
    prior: Floats
    mean: float
    accuracy: float

    def judge(self, evidence: Evidence) -> Posterior:
        """Posterior of people who had no part in this model."""
        appeal = self.tastes.appeal(evidence.features)[evidence.item]
        rows = rows_of(evidence, appeal, self.tastes, self.mean, self.redundancy, self.accuracy)
        return posterior(likelihoods(rows, evidence.people), self.tastes.shares, self.prior)

    @property
    def newcomer(self) -> float:
        """Reliability expected of a person about whom nothing is known."""
        return float(self.prior @ GRID)


def fit_model(
    evidence: Evidence,
    weight: Floats,
    tastes: int,
    accuracy: float,
    rng: np.random.Generator,
    start: Floats | None = None,
) -> tuple[Model, Posterior, Floats]:
    """EM over all rows of `evidence`, row j counting `weight[j]`; returns the model, its own people's posterior, and
    (n, K) what each row came to count for each taste. `start` (n, K): what it counts at first.

    The appeal of a row's item leaves the row itself out throughout, or with few votes an item everybody would agree
    with themselves.
    """
    own = start
    if own is None:
        own = _first_guess(evidence, weight, tastes, accuracy, rng) if tastes > 1 else weight[:, None] * 0.9
    mean = evidence.mean
    prior = grid_prior()
    shares = np.full(tastes, 1.0 / tastes)
    redundancy = fit_redundancy(evidence.value, evidence.also, weight * 0.9)
    voted = np.bincount(evidence.person, minlength=evidence.people) > 0
    slopes = None
    for _ in range(ITERATIONS):
        model = fit_tastes(evidence, own, shares, slopes)
        slopes = model.slopes
        rows = rows_of(evidence, model.without_own(evidence, own), model, mean, redundancy, accuracy)
        log = likelihoods(rows, evidence.people)
        before = np.concatenate([shares, prior])
        shares, prior = among_people(log[voted], shares, prior)
        found = posterior(log, shares, prior)
        followed = attention(rows, found, len(evidence.person))
        own = followed * weight[:, None]
        redundancy = fit_redundancy(evidence.value, evidence.also, own.sum(axis=1))
        if np.abs(np.concatenate([shares, prior]) - before).max() < SETTLED:
            break
    return Model(fit_tastes(evidence, own, shares, slopes), redundancy, prior, mean, accuracy), found, own


def _first_guess(evidence: Evidence, weight: Floats, tastes: int, accuracy: float, rng: np.random.Generator) -> Floats:
    """(n, K) first weights: people grouped by what is left of their votes once one taste is taken away."""
    one, _, _ = fit_model(evidence, weight, 1, accuracy, rng)
    left = evidence.value - one.tastes.without_own(evidence, weight[:, None])[:, 0]
    space = evidence.features if evidence.features.shape[1] else _directions(evidence, left)
    lean = np.stack(
        [sums(evidence.person, left * space[evidence.item, d], evidence.people) for d in range(space.shape[1])], axis=1
    )
    count = np.bincount(evidence.person, minlength=evidence.people)
    lean /= np.sqrt(np.maximum(count, 1))[:, None]
    group = _groups(lean, count > 0, tastes, rng)
    near = np.full((evidence.people, tastes), 0.2 / max(tastes - 1, 1))
    near[np.arange(evidence.people), group] = 0.8
    return np.asarray(weight[:, None] * near[evidence.person])


def _directions(evidence: Evidence, left: Floats) -> Floats:
    """(items, 8) directions in which people's residual votes differ most, when the items have no features."""
    from scipy.sparse import csr_array

    shape = (evidence.people, evidence.items)
    size = min(8, min(shape) - 1)
    if size < 1:
        return np.zeros((evidence.items, 1))
    matrix = csr_array((left, (evidence.person, evidence.item)), shape=shape)
    _, right = leading_vectors(matrix, size, np.ones(min(shape)))
    return np.asarray(right * np.sqrt(evidence.items))


def _groups(lean: Floats, known: NDArray[np.bool_], tastes: int, rng: np.random.Generator) -> Ints:
    from sklearn.cluster import KMeans

    group = np.zeros(len(lean), np.int64)
    state = int(rng.integers(2**31))
    if len(np.unique(lean[known], axis=0)) >= tastes:
        group[known] = KMeans(tastes, n_init=4, random_state=state).fit_predict(lean[known])
    return group


def folds_of(people: int, folds: int, rng: np.random.Generator) -> Ints:
    """(people,) fold of each person, sizes differing by at most one."""
    return np.asarray(rng.permutation(np.arange(people) % folds), np.int64)


def splits(fold: Ints, folds: int) -> "Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]":
    """(people to learn from, people to judge) of every fold."""
    for k in range(folds):
        yield fold != k, fold == k


def choose_tastes(
    evidence: Evidence, weight: Floats, most: int, folds: int, accuracy: float, seed: int
) -> tuple[int, list[float]]:
    """The number of tastes that predicts people held out best, and the mean gain in nats a person over one fewer.

    One more taste is taken as soon as people held out are predicted no worse: the doubt is the dissenter's. A taste too
    few keeps a minority out, a taste too many lets a few careless people pass. Two of the folds are tried.
    """
    gains: list[float] = []
    most = max(1, min(most, len(np.unique(evidence.person)) // FEWEST_PEOPLE))
    if most == 1:
        return 1, gains
    before = _held_out(evidence, weight, 1, folds, accuracy, seed)
    for count in range(2, most + 1):
        now = _held_out(evidence, weight, count, folds, accuracy, seed)
        gain = now - before
        gains.append(float(gain.mean()))
        if gain.mean() <= 0.0:
            return count - 1, gains
        before = now
    return most, gains


def _held_out(evidence: Evidence, weight: Floats, tastes: int, folds: int, accuracy: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    fold = folds_of(evidence.people, folds, rng)
    voted = np.bincount(evidence.person, minlength=evidence.people) > 0
    scores = []
    for learn, judged in list(splits(fold, folds))[:2]:
        model, _, _ = fit_model(evidence.of(learn), weight[learn[evidence.person]], tastes, accuracy, rng)
        scores.append(model.judge(evidence.of(judged)).evidence[judged & voted])
    return np.concatenate(scores)
