"""Who belongs to a group that votes together: everybody is asked, not only those a search happened to draw in.

For a group with items T, a person's votes are compared under two stories, a member's and an outsider's:

    log-odds = o ln(rho / pi) + (n - o) ln((1 - rho) / (1 - pi)) + sum over votes on T of ln(v_i(y) / p(y)),

o of n votes on T, rho the members' share of votes on T, pi the outsiders'; v_i the members' opinion of item i without
this person, p the appeal of the item under the person's own tastes. A bystander with few votes, drawn in because the
ring attacks what is popular, does not say what the ring says.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.trust.evidence import Evidence, Floats, Ints, sums

ROUNDS = 8
SURE = float(np.log(1000.0))
"""Log-odds from which a person belongs."""


def members_of(
    evidence: Evidence, people: Ints, items: Ints, expected: Floats, eligible: NDArray[np.bool_] | None = None
) -> Ints:
    """Members of the group that begins as `people` on `items`, sorted.

    `expected` (n,): probability of a like for each row, under its person's own tastes. `eligible` (people,): who may be
    a member at all (None: everybody).
    """
    target = np.zeros(evidence.items, bool)
    target[items] = True
    aimed = target[evidence.item]
    votes = np.bincount(evidence.person, minlength=evidence.people).astype(float)
    hits = np.bincount(evidence.person[aimed], minlength=evidence.people).astype(float)
    member = np.zeros(evidence.people, bool)
    member[people] = True
    for _ in range(ROUNDS):
        odds = _participation(hits, votes, member) + _voice(evidence, aimed, member, expected)
        now = (odds > SURE) & (hits >= 2)
        if eligible is not None:
            now &= eligible
        if (now == member).all() or now.sum() < 2:
            member = now
            break
        member = now
    return np.flatnonzero(member)


def _participation(hits: Floats, votes: Floats, member: NDArray[np.bool_]) -> Floats:
    inside = (hits[member].sum() + 1.0) / (votes[member].sum() + 2.0)
    outside = (hits[~member].sum() + 1.0) / (votes[~member].sum() + 2.0)
    return np.asarray(hits * np.log(inside / outside) + (votes - hits) * np.log((1.0 - inside) / (1.0 - outside)))


def _voice(evidence: Evidence, aimed: NDArray[np.bool_], member: NDArray[np.bool_], expected: Floats) -> Floats:
    own = (member[evidence.person] & aimed).astype(float)
    n = sums(evidence.item, own, evidence.items)[evidence.item] - own
    likes = sums(evidence.item, own * evidence.value, evidence.items)[evidence.item] - own * evidence.value
    opinion = np.clip((likes + expected) / (n + 1.0), 0.02, 0.98)
    p = np.clip(expected, 0.02, 0.98)
    value = evidence.value
    gain = value * np.log(opinion / p) + (1.0 - value) * np.log((1.0 - opinion) / (1.0 - p))
    return sums(evidence.person, np.where(aimed, gain, 0.0), evidence.people)
