"""What logged answers say about a candidate that did not give them: advice beside the verdict, never part of it. Pure.

Answers of tens of tokens make weights so uneven that most estimates rest on a handful of answers; below
`fewest` effective ones they are no evidence, and the check says so.
"""

import numpy as np
from numpy.typing import NDArray

from infra.statistics import (
    doubly_robust_scores,
    effective_sample_size,
    inverse_propensity_scores,
    off_policy_interval,
)
from policy_update.gating.samples import Check, FloatArray


def weights_of(log_ratio: FloatArray, clip: float) -> FloatArray:
    """min(exp(log pi_new - log pi_logged), clip) of whole answers, (n,)."""
    return np.asarray(np.exp(np.minimum(log_ratio, np.log(clip))))


def advice(
    name: str,
    rewards: FloatArray,
    weights: FloatArray,
    people: NDArray[np.int64],
    fewest: float,
    confidence: float,
    predicted: tuple[FloatArray, FloatArray] | None = None,
) -> Check:
    """The candidate's estimated mean of `name` against the logged mean, clustered by person.

    Clipped inverse propensity (Ionides, JCGS 2008), or doubly robust where `predicted` holds the reward model's value
    of the logged answer and its mean for the candidate's own answer to the same prompt. `value` is the difference to
    what was logged; `before`, `after` the two means. `passed` says only whether the estimate is evidence.
    """
    size = effective_sample_size(weights)
    if predicted is None:
        kind, scores = "clipped IPS", inverse_propensity_scores(rewards, weights)
    else:
        kind, scores = "doubly robust", doubly_robust_scores(rewards, weights, *predicted)
    gain = off_policy_interval(scores - rewards, people, confidence=confidence)
    before, after = float(np.mean(rewards)), float(np.mean(scores))
    counts = bool(size >= fewest and np.isfinite([gain.low, gain.high]).all())
    said = "advice" if counts else "no evidence"
    reason = (
        f"{said}: {name} by {kind} on {len(rewards)} logged answers, {before:.3f} logged, {after:.3f} estimated, "
        f"difference [{gain.low:+.3f}, {gain.high:+.3f}], {size:.0f} effective answers"
        + ("" if counts else f", of {fewest:.0f} needed")
    )
    return Check(f"off_policy_{name}", counts, gain.mean, gain.low, gain.high, fewest, reason, "advice", before, after)
