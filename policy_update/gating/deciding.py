"""How a difference becomes a check: paired by prompt, with an interval, against a limit. Pure."""

import numpy as np
from numpy.typing import NDArray

from infra.statistics import Estimate, clustered_difference
from policy_update.gating.samples import Check, FloatArray

SMALLEST_SPREAD = 1e-9


def spread(champion: FloatArray, candidate: FloatArray) -> float:
    """The unit an objective is measured in: the standard deviation of the champion's answers or, where these are all
    alike, of both policies' answers (divided by next to nothing, that objective would drown all others). Never 0; NaN
    without any finite value."""
    for values in (champion, np.concatenate([champion, candidate])):
        known = values[np.isfinite(values)]
        if not known.size:
            return float("nan")
        if known.std() > SMALLEST_SPREAD:
            return float(known.std())
    return SMALLEST_SPREAD


def difference(candidate: FloatArray, champion: FloatArray, prompt: NDArray[np.int64], confidence: float) -> Estimate:
    """Candidate minus champion, answer i against answer i of the same prompt (n,), with an interval clustered by
    prompt. Pairs with a side that is no finite number are left out (`finite` refuses for them)."""
    keep = np.isfinite(candidate) & np.isfinite(champion)
    return clustered_difference(candidate[keep], champion[keep], prompt[keep], confidence=confidence)


def above(name: str, change: Estimate, limit: float, what: str, group: str = "guardrail", **rates: float) -> Check:
    """The lower end must exceed `limit`: superiority at 0, non-inferiority below it."""
    passed = bool(np.isfinite(change.low) and change.low > limit)
    risen, fallen = ("rose", "did not rise enough") if limit >= 0 else ("held", "fell too far")
    reason = f"{what} {risen if passed else fallen}: {shown(change)}, lower end must exceed {limit:+.4f}"
    return Check(name, passed, change.mean, change.low, change.high, limit, reason, group, **rates)


def below(name: str, change: Estimate, limit: float, what: str, group: str = "guardrail", **rates: float) -> Check:
    """The upper end must stay under `limit`."""
    passed = bool(np.isfinite(change.high) and change.high < limit)
    word = "held" if passed else "rose too far"
    reason = f"{what} {word}: {shown(change)}, upper end must stay under {limit:+.4f}"
    return Check(name, passed, change.mean, change.low, change.high, limit, reason, group, **rates)


def within(name: str, value: float, limit: float, what: str) -> Check:
    """A budget: the value itself must not exceed `limit`."""
    passed = bool(np.isfinite(value) and value <= limit)
    reason = f"{value:.4f} {what}, {'within' if passed else 'over'} the budget of {limit:.4f}"
    return Check(name, passed, value, value, value, limit, reason, "budget")


def shown(change: Estimate) -> str:
    """`+0.1200 [+0.0300, +0.2100]`."""
    return f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
