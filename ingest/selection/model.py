"""The feedback-propensity model: P(vote | covariates), cross-fitted by person and calibrated; and beside it the model
of what voters say, P(like | vote, covariates), for doubly robust estimates.

Logistic regression on splines, kept as coefficients: any version can be applied again, bit for bit.
"""

import hashlib
import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.selection.features import Covariates, FeatureSpace, fit_space

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

INVERSE_PENALTY = 10.0
"""`C` of the logistic regressions: a light ridge."""
_LARGEST_LOGIT = 30.0


class Linear(msgspec.Struct, frozen=True):
    """A linear function of the feature vector."""

    intercept: float
    coefficients: tuple[float, ...]

    def at(self, vector: Sequence[float]) -> float:
        """Its value, summed in the order of the columns."""
        total = self.intercept
        for coefficient, x in zip(self.coefficients, vector, strict=True):
            total += coefficient * x
        return total


class SelectionModel(msgspec.Struct, frozen=True):
    """Fitted models: one logit of voting and one of liking for each fold of people, made without that fold; `slope` and
    `offset` calibrate the first (Platt). `vote_rate` is P(vote); `clip` the largest relative weight of a vote."""

    space: FeatureSpace
    voting: tuple[Linear, ...]
    liking: tuple[Linear, ...]
    slope: float
    offset: float
    vote_rate: float
    clip: float

    def propensity(self, covariates: Covariates, person: str) -> float:
        """P(vote) of this answer, by the models that saw none of this person's votes."""
        fold = fold_of(person, len(self.voting))
        return sigmoid(self.offset + self.slope * self.voting[fold].at(self.space.vector(covariates)))

    def predicted_opinion(self, covariates: Covariates, person: str) -> float:
        """P(like | vote) of this answer, by the models that saw none of this person's votes."""
        return sigmoid(self.liking[fold_of(person, len(self.liking))].at(self.space.vector(covariates)))

    def weight(self, covariates: Covariates, person: str) -> float:
        """Weight of a vote relative to the average vote: P(vote) / P(vote | x), in [1 / clip, clip]."""
        return min(max(self.vote_rate / self.propensity(covariates, person), 1.0 / self.clip), self.clip)


class Fitted(msgspec.Struct, frozen=True):
    """A model and how well it says who votes, on people it had not seen: AUROC, Brier score and skill against a
    constant, and the calibration slope before it was corrected (1: calibrated as it came)."""

    model: SelectionModel
    auroc: float
    brier: float
    brier_skill: float
    raw_slope: float


def fold_of(person: str, folds: int) -> int:
    """The fold of a person, in 0 ... folds - 1; the same for ever."""
    digest = hashlib.blake2b(person.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % folds


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-z), never 0 or 1."""
    return 1.0 / (1.0 + math.exp(-min(max(logit, -_LARGEST_LOGIT), _LARGEST_LOGIT)))


def fit_selection(
    sample: Sequence[Covariates],
    people: Sequence[str],
    voted: BoolArray,
    opinions: FloatArray,
    *,
    folds: int,
    clip: float,
) -> Fitted:
    """Fit both models on answers (n,) that were shown: who was it, did they vote (n,), and what (n,) in [0, 1], NaN for
    those who did not. There must be voters and silent people."""
    space = fit_space(sample)
    vectors = np.array([space.vector(one) for one in sample])
    fold = np.array([fold_of(person, folds) for person in people])
    votes = voted.astype(np.float64)
    voting = tuple(_logistic(vectors[fold != k], votes[fold != k]) for k in range(folds))
    liking = tuple(_logistic(vectors[voted & (fold != k)], opinions[voted & (fold != k)]) for k in range(folds))
    raw = np.empty(len(sample))
    for k, linear in enumerate(voting):
        raw[fold == k] = linear.intercept + vectors[fold == k] @ np.array(linear.coefficients)
    calibration = _logistic(raw[:, None], votes)
    model = SelectionModel(
        space, voting, liking, calibration.coefficients[0], calibration.intercept, float(votes.mean()), clip
    )
    predicted = 1 / (1 + np.exp(-np.clip(model.offset + model.slope * raw, -_LARGEST_LOGIT, _LARGEST_LOGIT)))
    brier, constant = float(np.mean((predicted - votes) ** 2)), float(votes.var())
    return Fitted(model, _auroc(votes, predicted), brier, 1 - brier / constant if constant else 0.0, model.slope)


def _logistic(vectors: FloatArray, targets: FloatArray) -> Linear:
    """Logistic regression with a light ridge; a target between 0 and 1 counts as so much of either."""
    from sklearn.linear_model import LogisticRegression

    if targets.size == 0 or np.all(targets == targets[0]):
        rate = min(max(float(targets.mean()) if targets.size else 0.5, 1e-6), 1 - 1e-6)
        return Linear(math.log(rate / (1 - rate)), (0.0,) * vectors.shape[1])
    if np.all((targets == 0) | (targets == 1)):
        fitted = LogisticRegression(C=INVERSE_PENALTY, solver="newton-cholesky", max_iter=200).fit(vectors, targets)
        return Linear(float(fitted.intercept_[0]), tuple(float(c) for c in fitted.coef_[0]))
    both = np.concatenate([np.ones(len(targets)), np.zeros(len(targets))])
    weights = np.concatenate([targets, 1 - targets])
    kept = weights > 0
    fitted = LogisticRegression(C=INVERSE_PENALTY, solver="newton-cholesky", max_iter=200).fit(
        np.vstack([vectors, vectors])[kept], both[kept], sample_weight=weights[kept]
    )
    return Linear(float(fitted.intercept_[0]), tuple(float(c) for c in fitted.coef_[0]))


def _auroc(votes: FloatArray, predicted: FloatArray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(votes, predicted)) if 0 < votes.sum() < votes.size else 0.5
