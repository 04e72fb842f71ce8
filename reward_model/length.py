"""How much of a reward is length, and three ways to take that out. Pure numpy and torch, float64.

Length is log(1 + characters) wherever it is not said otherwise: judges who like length like the first doubling as much
as the next. All ways remove what a *linear* function of it explains; a report shows the correlation that is left.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.contracts import PlauditError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class InvalidLengths(PlauditError):
    """Scores or lengths nothing can be regressed on."""

    code = "invalid_lengths"
    status = 422


@dataclass(frozen=True)
class LengthCorrelation:
    """Pearson correlations of scores with lengths in [-1, 1], NaN where one of them does not vary: over all answers,
    and `within` groups, after each group's mean is taken off both (does the longer of two answers to one prompt win?).
    """

    overall: float
    within: float


def length_correlation(scores: Floats, lengths: Floats, groups: Ints) -> LengthCorrelation:
    """Of N answers; `groups` [N] are their prompts. Raises InvalidLengths for NaN."""
    _check(scores, lengths)
    return LengthCorrelation(_pearson(scores, lengths), _pearson(_within(scores, groups), _within(lengths, groups)))


@dataclass(frozen=True)
class LengthRegressor:
    """score - slope (length - centre): the scores' part that length explains, taken off."""

    slope: float
    centre: float

    @classmethod
    def fit(cls, scores: Floats, lengths: Floats, groups: Ints) -> "LengthRegressor":
        """Least squares *within* groups (answers to one prompt), so that prompts which call for long answers and get
        good ones do not look like a taste for length; over all answers where no group has two lengths.

            slope = sum (l_i - l_g(i)) (s_i - s_g(i)) / sum (l_i - l_g(i))^2,   centre = mean l
        """
        _check(scores, lengths)
        s, x = _within(scores, groups), _within(lengths, groups)
        if not np.square(x).sum() > 1e-12:
            s, x = scores - scores.mean(), lengths - lengths.mean()
        total = float(np.square(x).sum())
        return cls(float(x @ s) / total if total > 1e-12 else 0.0, float(lengths.mean()))

    def apply(self, scores: Floats, lengths: Floats) -> Floats:
        """Scores of which length explains nothing linearly, with the same mean over the answers it was fitted on."""
        return np.asarray(scores - self.slope * (lengths - self.centre))


def preference_slope(differences: Floats, weights: Floats | None = None, soft: Floats | None = None) -> float:
    """b in P(first preferred) = s(b (length_1 - length_2)): the log-odds that people give for a unit of length alone.

    differences [M]; weights [M] >= 0; soft [M] in [0, 1], 1 where the first is preferred. Maximum likelihood with a
    Gaussian prior of variance 100 by Newton's method (the prior keeps separable data finite). 0 for no pairs.
    """
    x = np.asarray(differences, np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, np.float64)
    y = np.ones_like(x) if soft is None else np.asarray(soft, np.float64)
    _check(x, w)
    b = 0.0
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-np.clip(b * x, -500, 500)))
        slope = float((w * x * (y - p)).sum()) - b / 100.0
        curvature = float((w * x * x * p * (1.0 - p)).sum()) + 1.0 / 100.0
        step = max(-1.0, min(1.0, slope / curvature))
        b += step
        if abs(step) < 1e-10:
            break
    return b


@dataclass(frozen=True)
class TwoHeads:
    """`quality` [D] is the reward; `length` [D] took what is explained by length and is thrown away."""

    quality: Tensor
    length: Tensor


def fit_two_heads(
    features: Tensor,
    pairs: Ints,
    weights: Floats,
    lengths: Floats,
    *,
    l2: float,
    length_penalty: float = 1.0,
    orthogonality: float = 1.0,
) -> TwoHeads:
    """ODIN (Chen et al. 2024, 2402.07319) for linear heads on features [N, D]; pairs [M, 2] rows, preferred first.

        L = sum_m w_m softplus(-(q + l)(x_m1 - x_m2)) / sum w  +  l2/2 (|q|^2 + |l|^2)
            + a [ r(Xq, length)^2 - r(Xl, length) ]  +  o cos(q, l)^2

    with r the correlation over all N answers, a = `length_penalty`, o = `orthogonality`. The paper takes |r| of the
    quality head; its square has a gradient at 0. Both heads rank together; only one of them may follow length.
    Minimised by L-BFGS from the plain fit's start at 0 for q and the length's direction for l.
    """
    x = features.double()
    length = torch.from_numpy(np.asarray(lengths, np.float64))
    _check(np.asarray(weights, np.float64), np.asarray(lengths, np.float64))
    centred = (x - x.mean(0), length - length.mean())
    difference = x[pairs[:, 0]] - x[pairs[:, 1]]
    w = torch.from_numpy(np.asarray(weights, np.float64))
    start = centred[0].T @ centred[1]
    heads = torch.stack([difference.T @ w, start])
    heads = (heads / heads.norm(dim=1, keepdim=True).clamp_min(1e-12)).requires_grad_()
    optimizer = torch.optim.LBFGS([heads], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure() -> Tensor:
        optimizer.zero_grad()
        margins = difference @ heads.sum(0)
        loss = (w * torch.nn.functional.softplus(-margins)).sum() / w.sum() + 0.5 * l2 * heads.square().sum()
        follows = [_correlation(centred[0] @ head, centred[1]) for head in heads]
        loss = loss + length_penalty * (follows[0].square() - follows[1])
        loss = loss + orthogonality * torch.nn.functional.cosine_similarity(heads[0], heads[1], 0).square()
        loss.backward()
        return torch.as_tensor(loss)

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = heads.detach()
    return TwoHeads(found[0], found[1])


def length_report(scores: Floats, lengths: Floats, groups: Ints) -> dict[str, Any]:
    """What a training report says about length: correlations before and after an explicit regressor, and its slope."""
    regressor = LengthRegressor.fit(scores, lengths, groups)
    before = length_correlation(scores, lengths, groups)
    after = length_correlation(regressor.apply(scores, lengths), lengths, groups)
    return {
        "correlation": before.overall,
        "correlation_within_prompts": before.within,
        "correlation_regressed": after.overall,
        "correlation_regressed_within_prompts": after.within,
        "slope": regressor.slope,
    }


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    found: Tensor = (a @ b) / (a.norm() * b.norm()).clamp_min(1e-12)
    return found


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 1e-12 else float("nan")


def _within(values: Floats, groups: Ints) -> Floats:
    _, index = np.unique(groups, return_inverse=True)
    means = np.bincount(index, values) / np.bincount(index)
    return np.asarray(values - means[index])


def _check(*columns: Floats) -> None:
    for values in columns:
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong) or not len(values):
            what = f"row {wrong[0]} is {values[wrong[0]]}" if len(wrong) else "there are no rows"
            raise InvalidLengths(f"scores and lengths must be finite numbers, at least one; {what}")
