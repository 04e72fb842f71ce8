"""From the evidence to how far each person is trusted: caps, rings, bursts, tastes, reliability, in this order.

Pure: arrays in, arrays out; the same evidence and seed give the same result.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infra.settings.trust import TrustSettings
from ingest.trust.blocks import find_blocks
from ingest.trust.bursts import find_bursts, slots_of
from ingest.trust.caps import busiest_window, cap_factors
from ingest.trust.crossfit import Model, choose_tastes, fit_model, folds_of, splits
from ingest.trust.evidence import Evidence, Floats, Ints
from ingest.trust.membership import members_of
from ingest.trust.reliability import Posterior
from ingest.trust.rings import SURE, Links, Voice, find_links, groups_of, voice_of


class Ring(NamedTuple):
    """A group that votes together, and how."""

    members: Ints
    voice: Voice


@dataclass(frozen=True)
class Estimate:
    """Per person (people,): `weight`; `reliability` with its interval, and `relative` to a newcomer's; votes in the
    `busiest` window and the cap's `factor`; number of the most probable `taste`; share of votes in one-sided bursts;
    who is `quarantined`. `tastes` (K,): shares of the tastes among people. `appeal` (items,): what attentive people of
    all tastes would say of each item on average."""

    weight: Floats
    reliability: Floats
    relative: Floats
    low: Floats
    high: Floats
    busiest: Ints
    factor: Floats
    newcomer: float
    taste: Ints
    tastes: Floats
    appeal: Floats
    burst_share: Floats
    quarantined: NDArray[np.bool_]
    rings: list[Ring] = field(default_factory=list)
    watched: list[Ring] = field(default_factory=list)
    """Groups that share answers beyond popularity but do not speak with one voice, or where nobody else voted."""
    bursts: int = 0


class Use(NamedTuple):
    """Which parts are switched on: for ablations. All of them in the product."""

    cap: bool = True
    rings: bool = True
    reliability: bool = True


class _Group(NamedTuple):
    people: Ints
    items: Ints


def estimate(evidence: Evidence, settings: TrustSettings, use: Use = Use()) -> Estimate:  # noqa: B008
    """How far everybody in `evidence` is to be trusted."""
    rng = np.random.default_rng(settings.seed)
    busiest = busiest_window(*evidence.acts, evidence.people, settings.cap_window_seconds)
    factor = cap_factors(busiest, settings.cap_votes) if use.cap else np.ones(evidence.people)
    nobody = np.zeros(evidence.people, bool)
    share = nobody.astype(float)
    groups: list[_Group] = []
    bursts = 0
    if use.rings and len(evidence.person):
        rushes = find_bursts(evidence, settings.burst_slot_seconds, settings.burst_level)
        share, bursts = rushes.share(evidence), rushes.count
        groups = _groups(evidence, factor, settings, rng)
    bursting = share >= settings.burst_share
    suspects = bursting | _suspected(evidence, groups, settings)
    model, posterior, held = _reliability(evidence, factor, suspects, settings, rng)
    rings, watched = _voices(evidence, groups, model, posterior, settings)
    quarantined = bursting.copy()
    for ring in rings:
        quarantined[ring.members] = True
    low, high = posterior.interval()
    weight = factor * np.minimum(1.0, held) if use.reliability else factor.copy()
    weight[quarantined] = 0.0
    return Estimate(
        weight=weight,
        reliability=posterior.mean,
        relative=held,
        low=low,
        high=high,
        busiest=busiest,
        factor=factor,
        newcomer=model.newcomer,
        taste=np.argmax(posterior.tastes, axis=1),
        tastes=model.tastes.shares,
        appeal=model.tastes.appeal(evidence.features) @ model.tastes.shares,
        burst_share=share,
        quarantined=quarantined,
        rings=rings,
        watched=watched,
        bursts=bursts,
    )


def _groups(evidence: Evidence, factor: Floats, settings: TrustSettings, rng: np.random.Generator) -> list[_Group]:
    """Groups that share items, or items at the same moment, beyond popularity: small and tight ones from pairs, wide
    and loose ones from blocks."""
    person, item = evidence.person, evidence.item
    linked: list[Links] = [
        find_links(person, item, factor, evidence.people, settings.ring_level, settings.ring_min_shared)
    ]
    for shift in (0.0, 0.5):
        bins = slots_of(evidence.at, item, settings.burst_slot_seconds, shift)
        linked.append(find_links(person, bins, factor, evidence.people, settings.ring_level, settings.ring_min_shared))
    found = []
    for members in groups_of(linked, evidence.people, settings.ring_min_members):
        belongs = np.zeros(evidence.people, bool)
        belongs[members] = True
        votes = np.bincount(item[belongs[person]], minlength=evidence.items)
        found.append(_Group(members, np.flatnonzero(votes >= 2)))
    blocks = find_blocks(person, item, factor, evidence.people, evidence.items, rng)
    return found + [_Group(block.people, block.items) for block in blocks]


def _suspected(evidence: Evidence, groups: list[_Group], settings: TrustSettings) -> NDArray[np.bool_]:
    """(people,) members of groups that differ from outsiders at all: they teach the tastes nothing until judged."""
    everybody = np.ones((evidence.people, 1))
    suspects = np.zeros(evidence.people, bool)
    for group in groups:
        outsiders = np.ones(evidence.people, bool)
        outsiders[group.people] = False
        voice = voice_of(evidence, group.people, group.items, everybody, outsiders)
        if voice.unanimity >= settings.ring_unanimity / 2.0:
            suspects[group.people] = True
    return suspects


def _reliability(
    evidence: Evidence,
    factor: Floats,
    suspects: NDArray[np.bool_],
    settings: TrustSettings,
    rng: np.random.Generator,
) -> tuple[Model, Posterior, Floats]:
    """The model of everybody but suspects; everybody's posterior under models they had no part in; and reliability
    relative to a newcomer's, (people,)."""
    clean = evidence.of(~suspects)
    weight = factor[clean.person]
    accuracy = settings.honeypot_accuracy
    count, _ = choose_tastes(clean, weight, settings.max_tastes, settings.folds, accuracy, settings.seed)
    model, _, own = fit_model(clean, weight, count, accuracy, rng)
    judged = model.judge(evidence)
    joint, evident = judged.joint.copy(), judged.evidence.copy()
    relative = judged.mean / model.newcomer
    for learn, held in splits(folds_of(evidence.people, settings.folds, rng), settings.folds):
        rows = learn[clean.person]
        # Begun where the model of everybody ended, EM keeps the numbers of its tastes.
        fold, _, _ = fit_model(clean.of(learn), weight[rows], count, accuracy, rng, own[rows])
        chosen = held & ~suspects
        theirs = fold.judge(evidence.of(chosen))
        joint[chosen], evident[chosen] = theirs.joint[chosen], theirs.evidence[chosen]
        relative[chosen] = (theirs.mean / fold.newcomer)[chosen]
    return model, Posterior(joint, evident), relative


def _same(one: Ints, other: Ints) -> bool:
    """Whether two groups are one, found twice: four fifths of either are in both."""
    return len(np.intersect1d(one, other)) >= 0.8 * max(len(one), len(other))


def _voices(
    evidence: Evidence, groups: list[_Group], model: Model, posterior: Posterior, settings: TrustSettings
) -> tuple[list[Ring], list[Ring]]:
    """Rings, and groups that are none."""
    rings: list[Ring] = []
    watched: list[Ring] = []
    if not groups:
        return rings, watched
    appeal = model.tastes.appeal(evidence.features)[evidence.item]
    expected = (appeal * posterior.tastes[evidence.person]).sum(axis=1)
    for group in groups:
        members = members_of(evidence, group.people, group.items, expected)
        told = [ring.members for ring in (*rings, *watched)]
        if len(members) < settings.ring_min_members or any(_same(members, other) for other in told):
            continue
        outsiders = np.ones(evidence.people, bool)
        outsiders[group.people] = outsiders[members] = False
        voice = voice_of(evidence, members, group.items, posterior.tastes, outsiders)
        surely = voice.unanimity >= settings.ring_unanimity and voice.errors >= SURE
        (rings if surely else watched).append(Ring(members, voice))
    return rings, watched
