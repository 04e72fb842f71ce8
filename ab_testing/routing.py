"""Person -> arm: deterministic, sticky, known beforehand. What this file says in plain arithmetic, `layers.Router` says
compiled, in about a microsecond, and `assets/assignment.js` in JavaScript; tests hold the three together.

Two hashes of the user key, independent of each other. The first, the same for a project for ever, is the person's place
in the project's layer: an experiment draws on the people in its slot of it, and the top of the layer can be held out of
all experiments. The second, salted anew for each experiment, is the person's point in it, uniform in [0, 1). Of k
candidates the i-th has [i / 2k, i / 2k + share), the counted control [1 - share, 1); everyone between gets the champion
and is not counted. Arms are disjoint from the start and share never exceeds 1 / 2k, so a growing ramp moves nobody who
was counted.
"""

from hashlib import blake2b

from infra.contracts import Assignment, Experiment, arm_of

POINTS = 1 << 64


def text_bytes(text: str) -> bytes:
    """UTF-8, where half of a surrogate pair standing alone becomes U+FFFD: what JavaScript's TextEncoder does."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def point(salt: str, user_key: str) -> int:
    """The person's place, uniform in [0, 2^64): BLAKE2b-64 (RFC 7693) of salt, NUL, user key, read big-endian."""
    return int.from_bytes(blake2b(text_bytes(f"{salt}\0{user_key}"), digest_size=8).digest(), "big")


def layer_salt(project: str) -> str:
    """The salt of the project's layer: fixed, and unlike the 32 hex digits of an experiment's."""
    return f"layer:{project}"


def edge_of(share: float) -> int:
    """The point at which the first `share` of people ends; share in [0, 1], the multiplication is exact."""
    return int(share * POINTS)


def drawn_on(experiment: Experiment, user_key: str) -> bool:
    """Whether the person belongs to the part of the project's people that the experiment draws on."""
    low, high = experiment.slot
    return edge_of(low) <= point(layer_salt(experiment.project), user_key) < edge_of(high)


def assign(experiment: Experiment, user_key: str) -> Assignment:
    """The arm of `user_key` in the newest phase of `experiment`, and the probability it was made with.

    `propensity` is the probability of this very outcome among the people the experiment draws on: the arm's share, what
    they leave for the uncounted rest, 1 for people outside its slot. People of a candidate that has left belong to that
    rest. Other experiments and people held out are not this function's matter: see `layers.Router`.
    """
    phase, candidates = experiment.phases[-1], experiment.candidates
    if experiment.slot != (0.0, 1.0) and not drawn_on(experiment, user_key):
        return Assignment(experiment.experiment_id, None, experiment.uncounted, 1.0, phase.index)
    known, place = len(candidates), point(experiment.salt, user_key)
    if place >= POINTS - edge_of(phase.share):
        return Assignment(experiment.experiment_id, "control", experiment.control, phase.share, phase.index)
    zone = place * 2 * known // POINTS
    if zone < known and arm_of(zone) not in experiment.dropped:
        share = phase.share_of(zone)
        if place - zone * POINTS // (2 * known) < edge_of(share):
            return Assignment(experiment.experiment_id, arm_of(zone), candidates[zone], share, phase.index)
    rest = uncounted_share(experiment)
    return Assignment(experiment.experiment_id, None, experiment.uncounted, rest, phase.index)


def uncounted_share(experiment: Experiment) -> float:
    """Probability of no arm: 1 - (k + 1) share for k candidates that have not left, or what their own shares leave."""
    phase, known, gone = experiment.phase, len(experiment.candidates), experiment.dropped
    if not phase.shares:
        return 1.0 - (known - len(gone) + 1) * phase.share
    counted = phase.share
    for place in range(known):  # one after the other, as the JavaScript twin adds
        counted += 0.0 if arm_of(place) in gone else phase.shares[place]
    return 1.0 - counted
