"""Why somebody weighs what they weigh, in words, and never with another person's key."""

from collections.abc import Sequence

import numpy as np

from infra.settings.trust import TrustSettings
from ingest.trust.estimate import Estimate, Ring

UNRELIABLE = 0.8
"""Reliability relative to a newcomer's below which it is worth a word."""


def reasons_of(found: Estimate, settings: TrustSettings) -> list[tuple[str, ...]]:
    """Reasons of every person, in the order rings, bursts, cap, reliability."""
    words: list[list[str]] = [[] for _ in found.weight]
    for ring in found.rings:
        for person in ring.members:
            words[int(person)].append(_ring(ring))
    for ring in found.watched:
        for person in ring.members:
            words[int(person)].append(_watched(ring))
    for person in np.flatnonzero(found.burst_share > 0.0):
        words[int(person)].append(_burst(float(found.burst_share[person]), settings))
    for person in np.flatnonzero(found.factor < 1.0):
        words[int(person)].append(
            f"{found.busiest[person]} votes within {_span(settings.cap_window_seconds)}: together they weigh"
            f" {settings.cap_votes:g}"
        )
    for person in np.flatnonzero(found.relative < UNRELIABLE):
        words[int(person)].append(
            f"votes follow no taste that predicts anybody else's: reliability {found.reliability[person]:.2f}"
            f" where a newcomer's is taken as {found.newcomer:.2f}"
        )
    return [tuple(some) for some in words]


def released(settings: TrustSettings) -> tuple[str, ...]:
    """Why somebody left quarantine who has not voted since."""
    return (f"released: what spoke against them is older than {_span(settings.evidence_seconds)}",)


def released_again() -> str:
    """Why somebody left quarantine whose votes were looked at again."""
    return "released: the votes of the time looked at show no ring and no one-sided burst any more"


def _ring(ring: Ring) -> str:
    voice = ring.voice
    return (
        f"one of {len(ring.members)} people who vote on the same answers more than their popularity explains and agree"
        f" with each other {voice.inside:.0%} of the time, where others of their taste agree with them"
        f" {voice.outside:.0%}, over {voice.items} answers"
    )


def _watched(ring: Ring) -> str:
    return (
        f"votes on the same answers as {len(ring.members) - 1} others more than their popularity explains, but not with"
        f" one voice: counted"
    )


def _burst(share: float, settings: TrustSettings) -> str:
    verdict = "too many" if share >= settings.burst_share else "counted"
    return (
        f"{share:.0%} of the votes lie in bursts, many votes on one answer within"
        f" {_span(settings.burst_slot_seconds)} that contradict those given at other times: {verdict}"
    )


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} seconds"


def joined(reasons: Sequence[str]) -> str:
    """Reasons as one line."""
    return "; ".join(reasons)
