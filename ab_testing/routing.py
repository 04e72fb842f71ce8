"""Person -> arm: deterministic, sticky, known beforehand, in about a microsecond.

A person's point is a hash of the experiment's salt and the user key, uniform in [0, 1). The challenger has [0, share),
the counted control [1 - share, 1); everyone between gets the champion and is not counted. Arms are disjoint from the
start and share never exceeds 1/2, so a growing ramp moves nobody who was counted.
"""

from hashlib import blake2b

from infra.contracts import Assignment, Experiment

_POINTS = 1 << 64


def point(salt: str, user_key: str) -> int:
    """The person's place, uniform in [0, 2^64): BLAKE2b-64 of salt, NUL, user key."""
    return int.from_bytes(blake2b(f"{salt}\0{user_key}".encode(), digest_size=8).digest(), "big")


def assign(experiment: Experiment, user_key: str) -> Assignment:
    """The arm of `user_key` in the newest phase of `experiment`, and the probability it was made with.

    `propensity` is the probability of this very outcome: share for either arm, 1 - 2 share for the uncounted middle.
    """
    phase = experiment.phases[-1]
    share = phase.share
    edge = int(share * _POINTS)
    place = point(experiment.salt, user_key)
    if place < edge:
        return Assignment(experiment.experiment_id, "challenger", experiment.challenger, share, phase.index)
    if place >= _POINTS - edge:
        return Assignment(experiment.experiment_id, "control", experiment.control, share, phase.index)
    return Assignment(experiment.experiment_id, None, experiment.control, 1.0 - 2.0 * share, phase.index)
