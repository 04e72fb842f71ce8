"""Person -> arm: deterministic, sticky, known beforehand, in about a microsecond.

A person's point is a hash of the experiment's salt and the user key, uniform in [0, 1). Of k candidates the i-th has
[i / 2k, i / 2k + share), the counted control [1 - share, 1); everyone between gets the champion and is not counted.
Arms are disjoint from the start and share never exceeds 1 / 2k, so a growing ramp moves nobody who was counted.
"""

from hashlib import blake2b

from infra.contracts import Assignment, Experiment, arm_of

_POINTS = 1 << 64


def point(salt: str, user_key: str) -> int:
    """The person's place, uniform in [0, 2^64): BLAKE2b-64 of salt, NUL, user key."""
    return int.from_bytes(blake2b(f"{salt}\0{user_key}".encode(), digest_size=8).digest(), "big")


def assign(experiment: Experiment, user_key: str) -> Assignment:
    """The arm of `user_key` in the newest phase of `experiment`, and the probability it was made with.

    `propensity` is the probability of this very outcome: share for every arm, 1 - (k + 1) share for the uncounted rest.
    """
    phase, candidates = experiment.phases[-1], experiment.candidates
    share, known = phase.share, len(candidates)
    edge = int(share * _POINTS)
    place = point(experiment.salt, user_key)
    if place >= _POINTS - edge:
        return Assignment(experiment.experiment_id, "control", experiment.control, share, phase.index)
    zone = place * 2 * known // _POINTS
    if zone < known and place - zone * _POINTS // (2 * known) < edge:
        return Assignment(experiment.experiment_id, arm_of(zone), candidates[zone], share, phase.index)
    return Assignment(experiment.experiment_id, None, experiment.uncounted, 1.0 - (known + 1) * share, phase.index)
