"""The utility head: a robust loss on preference pairs, its noise estimated from data, plain Bradley-Terry beside it.

1. Bradley-Terry on all judgments, out of fold, for each candidate penalty: the one with the least cross-entropy wins.
2. How often records err, from those out-of-fold margins. Where every pair was judged once by somebody unknown: one flip
   rate e, a profile likelihood (`noise`). Where people have names or pairs were judged repeatedly: every judge's rate
   and, from all records of a pair together, the chance that the side they favour is the wrong one (`rater_noise`). The
   joint likelihood of a pair's records is the same noise-mixed probability

       p = (1 - e) s(z) + e s(-z)

   of the favoured side with that e, so the loss stays `huber_bt`, with one e for each pair; margins of that fit, out of
   fold, make the second and last estimate. With e = 0 for all and t -> inf this is Bradley-Terry on the favoured sides.
3. Threshold t of the robust loss: the one whose fit on the older groups best predicts the newest quarter of the
   groups, by the likelihood of the noise-mixed model after rescaling; the larger t (nearer to `bt`) wins ties.
4. Fit on everything, from the Bradley-Terry solution, since the loss is not convex; then the bootstrap refits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.heads import fit_utility
from reward_model.judged_pairs import JudgedPairs, Ordered, judged_pairs
from reward_model.judgments import Judgments
from reward_model.losses import NoiseParameters
from reward_model.noise import NoiseEstimate, best_scale, estimate_flip_rate, log_likelihood
from reward_model.objective_head import FitOptions, group_bootstrap
from reward_model.rater_noise import RaterFit, fit_raters
from reward_model.residual_noise import rate_intervals
from reward_model.split import grouped_folds

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEWEST_SHARE = 0.25
_FEWEST_TO_VALIDATE = 20
"""With fewer pairs on the newer side, its likelihood is noise: the largest threshold is taken."""
_DRAWS = 20
"""Resamples of groups behind the interval of the flip rate."""


@dataclass(frozen=True)
class FittedUtility:
    """parameters [1 + E, R] of u(x) = x w, scaled so that s(u(a) - u(b)) is the probability that a is truly preferred;
    `plain` [R] is Bradley-Terry on all judgments of the same pairs, on its own scale. `noise` and `estimate` hold the
    flip rate of a record, the mean over all. `judgments` and `raters` say more where people have names or pairs were
    judged repeatedly (None for `raters` otherwise: today's one rate)."""

    parameters: Tensor
    plain: Tensor
    noise: NoiseParameters
    estimate: NoiseEstimate
    l2: float
    judgments: Judgments
    raters: RaterFit | None = None


@dataclass(frozen=True)
class UtilityOptions:
    """What the utility head needs beyond FitOptions."""

    fit: FitOptions
    loss: str
    thresholds: Sequence[float]
    max_flip_rate: float


def fit_utility_head(
    differences: Tensor,
    weights: Array,
    groups: Ints,
    times: Array,
    options: UtilityOptions,
    *,
    people: Sequence[str | None] | None = None,
    sources: Sequence[str] | None = None,
    soft: Array | None = None,
    pairs: tuple[Ints, Ints] | None = None,
    lengths: Array | None = None,
) -> FittedUtility:
    """Fit on M judgments: differences [M, R] float64 of preferred - other, weights [M] > 0, groups [M], times [M] (of
    the answers, for the inner chronological split).

    people [M]: who judged, None where nobody knows; sources [M]: regenerate, edit, duel...; soft [M] in [0, 1]: the
    probability that the first is preferred (1 unless given); pairs: `judgments.same_pairs` of the texts, so that
    repeated judgments count as such (unless given, rows of equal differences are one pair); lengths [M]: log-length of
    the preferred minus that of the other, for records that err towards the longer answer. Raises InvalidJudgments.
    """
    judged = judged_pairs(
        differences, weights, groups, times, people=people, sources=sources, soft=soft, pairs=pairs, lengths=lengths
    )
    both = judged.both_orders()
    l2, margins = _choose_penalty(both, options)
    plain = fit_utility(both.differences, torch.from_numpy(both.weights), l2)
    raters = None
    if judged.judgments.redundant:
        raters, l2 = _joint_noise(judged, both.by_pair(margins, judged.judgments.pairs), options)
        estimate = _summary(judged, raters, options)
        favoured = judged.favoured(raters)
    else:
        estimate = estimate_flip_rate(margins, both.weights, largest=options.max_flip_rate)
        favoured = judged.mixed(estimate.flip_rate)
    threshold = _choose_threshold(favoured, l2, options)
    main = _fit(favoured, l2, options, threshold)
    refits = [
        _fit(favoured.reweighted(counts), l2, options, threshold, main)
        for counts in group_bootstrap(favoured.groups, options.fit.ensemble, options.fit.seed)
    ]
    scale = _scale_out_of_fold(favoured, l2, threshold, options)
    noise = NoiseParameters(min(estimate.flip_rate, options.max_flip_rate), threshold)
    return FittedUtility(torch.stack([main, *refits]) * scale, plain, noise, estimate, l2, judged.judgments, raters)


def _joint_noise(judged: JudgedPairs, margins: Array, options: UtilityOptions) -> tuple[RaterFit, float]:
    """Judges' rates with the better of two priors: margins [U] of Bradley-Terry, and of Bradley-Terry in which every
    judge weighs the same, since a few busy accounts may own the first; then with margins of the loss that these lead
    to. And the penalty under which that loss predicts best."""
    count = judged.judgments.pairs
    level = judged.both_orders(by_head=True)
    starts = [margins, level.by_pair(_choose_penalty(level, options)[1], count)]
    fits = [fit_raters(judged.judgments, margins=start, lengths=judged.lengths) for start in starts]
    raters = max(fits, key=lambda fit: fit.log_evidence)
    favoured = judged.favoured(raters)
    l2, unseen = _choose_penalty(favoured, options, options.loss)
    margins = favoured.by_pair(unseen, count)
    return fit_raters(judged.judgments, margins=margins, lengths=judged.lengths, start=raters), l2


def _summary(judged: JudgedPairs, raters: RaterFit, options: UtilityOptions) -> NoiseEstimate:
    """The mean chance that a record is wrong, as records weigh, with its interval over groups of pairs."""
    overall = rate_intervals(
        judged.judgments,
        raters,
        judged.groups,
        lengths=judged.lengths,
        weights=judged.record_weights,
        draws=_DRAWS,
        seed=options.fit.seed,
    ).overall
    return NoiseEstimate(overall.flip_rate, overall.interval, raters.scale[0])


def _fit(
    rows: Ordered, l2: float, options: UtilityOptions, threshold: float, start: Tensor | None = None, loss: str = ""
) -> Tensor:
    """The robust loss on `rows`, from `start` or the Bradley-Terry solution on the favoured sides."""
    v, name = torch.from_numpy(rows.weights), loss or options.loss
    if name == "bt":
        return fit_utility(rows.differences, v, l2, start=start)
    begin = fit_utility(rows.differences, v, l2) if start is None else start
    return fit_utility(rows.differences, v, l2, name, rows.noise(threshold), begin)


def _choose_penalty(rows: Ordered, options: UtilityOptions, loss: str = "bt") -> tuple[float, Array]:
    """The penalty of least out-of-fold cross-entropy after rescaling, and the margins [P] found with it."""
    folds = grouped_folds(rows.groups, options.fit.folds, options.fit.seed)
    unseen = {l2: np.zeros(len(rows.weights)) for l2 in options.fit.l2_grid}
    threshold = max(options.thresholds)
    for fold in np.unique(folds):
        inside, outside = rows.of(folds != fold), torch.from_numpy(folds == fold)
        start = None
        for l2 in sorted(options.fit.l2_grid, reverse=True):
            start = _fit(inside, l2, options, threshold, start, loss)
            unseen[l2][outside.numpy()] = (rows.differences[outside] @ start).numpy()
    scores = {l2: _rescaled_likelihood(margins, rows.weights, rows.rates) for l2, margins in unseen.items()}
    best = max(scores, key=lambda l2: (scores[l2], l2))
    return best, unseen[best]


def _choose_threshold(rows: Ordered, l2: float, options: UtilityOptions) -> float:
    newer = newest_groups(rows.groups, rows.times, _NEWEST_SHARE)
    largest = max(options.thresholds)
    if newer.sum() < _FEWEST_TO_VALIDATE or (~newer).sum() < _FEWEST_TO_VALIDATE:
        return largest
    inside, outside = rows.of(~newer), rows.of(newer)
    start = fit_utility(inside.differences, torch.from_numpy(inside.weights), l2)
    scores = {}
    for t in options.thresholds:
        found = _fit(inside, l2, options, t, start)
        scores[t] = _rescaled_likelihood((outside.differences @ found).numpy(), outside.weights, outside.rates)
    return max(scores, key=lambda t: (round(scores[t], 6), t))


def newest_groups(groups: Ints, times: Array, share: float) -> NDArray[np.bool_]:
    """Rows [M] of the groups whose newest member is newest, about `share` of all rows."""
    names, index = np.unique(groups, return_inverse=True)
    newest = np.full(len(names), -np.inf)
    np.maximum.at(newest, index.reshape(-1), times)
    sizes = np.bincount(index.reshape(-1))
    order = np.argsort(-newest, kind="stable")
    chosen = order[np.cumsum(sizes[order]) <= max(share * len(groups), sizes[order[0]])]
    return np.asarray(np.isin(index.reshape(-1), chosen))


def _scale_out_of_fold(rows: Ordered, l2: float, threshold: float, options: UtilityOptions) -> float:
    """The factor that turns margins of the robust fit into log-odds of the true preference, on unseen pairs."""
    folds = grouped_folds(rows.groups, options.fit.folds, options.fit.seed)
    unseen = np.zeros(len(rows.weights))
    for fold in np.unique(folds):
        outside = torch.from_numpy(folds == fold)
        found = _fit(rows.of(folds != fold), l2, options, threshold)
        unseen[outside.numpy()] = (rows.differences[outside] @ found).numpy()
    spread = float(np.sqrt(np.mean(unseen**2))) or 1.0
    return best_scale(unseen / spread, rows.weights, rows.rates) / spread


def _rescaled_likelihood(margins: Array, weights: Array, flip_rate: float | Array) -> float:
    """Mean log-likelihood of the noise-mixed model on these margins, at the best common scale."""
    spread = float(np.sqrt(np.mean(margins**2))) or 1.0
    unit = margins / spread
    return log_likelihood(best_scale(unit, weights, flip_rate) * unit, weights, flip_rate) / float(weights.sum())
