"""How much each of several candidates gets of the next step of the ramp: as much as the others, or as it looks so far.

Top-two Thompson sampling (`infra.statistics.best_arm`) gives most to the candidate that is probably the best and to
the one that most likely disputes it. A step of the ramp gives away as many people as it would with equal arms. Nobody
who was counted moves: every candidate has a zone of the buckets of its own, in which its share only grows, up to
0.5 / candidates. So the last step makes all equal again; what is won is people for the leaders on the way there.
Probabilities are those of the phase (`ab_testing.shares`), so that every test and interval holds as with equal arms.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from ab_testing.decisions import Situation, Verdict
from infra.contracts import Arm, Experiment
from infra.statistics import top_two_allocation

FLOOR = 0.1
"""Least part of what a step gives away, as a share of an equal part, for every candidate: each must go on."""


def with_shares(experiment: Experiment, situations: Mapping[Arm, Situation], verdict: Verdict) -> Verdict:
    """The verdict; a ramp of several candidates under `ab_testing.allocation` top_two with the share of each. That
    follows from the evidence alone: the same row is made again from the same people."""
    rules = next(iter(situations.values())).rules
    if verdict.kind != "ramp" or verdict.share is None or rules.allocation != "top_two" or len(situations) < 2:
        return verdict
    shares = grown(experiment, verdict.share, dict(zip(situations, parts(situations), strict=True)))
    arms = list(experiment.remaining)
    told = ", ".join(f"{arm} {share:.3g}" for arm, share in zip(experiment.arms, shares, strict=False) if arm in arms)
    return replace(verdict, shares=shares, reason=f"{verdict.reason}; of the next step {told}")


def parts(situations: Mapping[Arm, Situation]) -> list[float]:
    """The part of each candidate in what is given away, adding up to 1, by the first goal. Values lie in [0, 1], so
    r (1 - r) / n is the most that the variance of a mean r can be; one pseudo-person keeps it from 0."""
    means, errors = [], []
    for situation in situations.values():
        goal = situation.goals[0]
        n, rate = goal.people_challenger, goal.rate_challenger
        mean = ((rate or 0.0) * n + 0.5) / (n + 1)
        means.append(mean if goal.direction == "higher" else -mean)
        errors.append(math.sqrt(mean * (1 - mean) / (n + 1)))
    return [float(part) for part in top_two_allocation(means, errors, floor=FLOOR / len(means))]


def grown(experiment: Experiment, share: float, part_of: Mapping[Arm, float]) -> tuple[float, ...]:
    """The share of every candidate in the next step, whose equal share is `share`: what it has and its part of what is
    given away, at most 0.5 / candidates; what is above that goes to the others in the same proportions."""
    most = 0.5 / len(experiment.candidates)
    place_of = {arm: place for place, arm in enumerate(experiment.arms)}
    shares = {arm: experiment.phase.share_of(place_of[arm]) for arm in part_of}
    left, open_arms = max(share * len(shares) - sum(shares.values()), 0.0), set(shares)
    while left > 1e-12 and open_arms:
        whole = sum(part_of[arm] for arm in open_arms)
        wanted = {arm: shares[arm] + left * part_of[arm] / whole for arm in shares if arm in open_arms}
        for arm, found in wanted.items():
            left -= min(found, most) - shares[arm]
            shares[arm] = min(found, most)
        open_arms = {arm for arm in open_arms if shares[arm] < most}
    gone = {arm: experiment.phase.share_of(place) for arm, place in place_of.items() if arm != "control"}
    return tuple(shares.get(arm, before) for arm, before in gone.items())
