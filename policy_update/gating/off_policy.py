"""What logged answers say about a candidate that did not give them: advice beside the verdict, never part of it. Pure.

Answers of tens of tokens make weights so uneven that most estimates rest on a handful of answers; below
`fewest` effective ones they are no evidence, and the check says so.
"""

import numpy as np
from numpy.typing import NDArray

from infra.statistics import effective_sample_size, off_policy_advice
from policy_update.gating.samples import Check, FloatArray

Predicted = tuple[FloatArray, FloatArray]


def weights_of(log_ratio: FloatArray, clip: float) -> FloatArray:
    """min(exp(log pi_new - log pi_logged), clip) of whole answers, (n,)."""
    return np.asarray(np.exp(np.minimum(log_ratio, np.log(clip))))


def by_person(
    rewards: FloatArray, weights: FloatArray, people: NDArray[np.int64], predicted: Predicted | None = None
) -> tuple[FloatArray, FloatArray, Predicted | None]:
    """The same of people, in the order in which they come first: mean weight, the reward and the prediction of the
    logged answers weighted within the person, the mean prediction of fresh ones. Weight times reward is then the mean
    over the person's answers, so that answers of one person, which depend on each other, count as one."""
    _, first, index = np.unique(people, return_index=True, return_inverse=True)
    answers, order = np.bincount(index), np.argsort(first)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray((np.bincount(index, values) / answers)[order])

    total = mean(weights)
    shared = np.where(total > 0, total, 1.0)
    inside = [np.clip(mean(weights * each) / shared, 0.0, 1.0) for each in (rewards, *(predicted or ())[:1])]
    return inside[0], total, None if predicted is None else (inside[1], mean(predicted[1]))


def advice(
    name: str,
    rewards: FloatArray,
    weights: FloatArray,
    people: NDArray[np.int64],
    fewest: float,
    confidence: float,
    clip: float,
    predicted: Predicted | None = None,
) -> Check:
    """The candidate's estimated mean of `name` against the logged mean, each person counted once, arrays in the order
    of time; `weights` are cut at `clip`.

    Clipped inverse propensity (Ionides, JCGS 2008), or doubly robust where `predicted` holds the reward model's value
    of the logged answer and its mean for the candidate's own answer to the same prompt; beside it the self-normalised
    mean, a point. `low` and `high` hold at every size of the log at once, so it may be asked again as the log grows:
    bounds on the candidate's mean (`infra.statistics.off_policy_intervals`), less the mean that was logged. Those of
    the doubly robust mean need weights that were not cut; else they are those of the clipped one, which cutting only
    widens. `passed` says only whether the estimate is evidence.
    """
    person_rewards, person_weights, both = by_person(rewards, weights, people, predicted)
    found = off_policy_advice(person_rewards, person_weights, both, clip=clip, alpha=1 - confidence, least=0.0)
    robust = found.doubly_robust_bounds if weights.size and float(weights.max()) < clip else None
    kind, after = ("clipped IPS", found.clipped) if predicted is None else ("doubly robust", found.doubly_robust)
    low, high = robust or found.clipped_bounds or (0.0, 1.0)
    before = float(by_person(rewards, np.ones(len(rewards)), people)[0].mean())
    size = min(effective_sample_size(weights), found.effective_sample_size)
    counts = bool(size >= fewest and after is not None)
    after = before if after is None else after
    said = "advice" if counts else "no evidence"
    reason = (
        f"{said}: {name} by {kind} on {len(rewards)} logged answers, {before:.3f} logged, {after:.3f} estimated "
        f"({found.self_normalised:.3f} self-normalised), difference [{low - before:+.3f}, {high - before:+.3f}] at any "
        f"size of the log, {size:.0f} effective answers" + ("" if counts else f", of {fewest:.0f} needed")
    )
    value = after - before
    return Check(
        f"off_policy_{name}", counts, value, low - before, high - before, fewest, reason, "advice", before, after
    )
