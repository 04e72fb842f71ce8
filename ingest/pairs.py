"""Preference pairs out of the ledger: duels and regenerations. A pure function of the events between two answers.

A duel prefers its own answer over the other. A regeneration prefers the answer that came instead, weakly: the person
turned away from the first. Per voter and signal one opinion holds about two answers, the latest, whichever of the two
it was filed under. The pair's id is the id of the event that says so, so that every pair can be traced and none counts
twice. An edit makes no pair here: the edited text is not an answer anybody sampled. Whoever wants it as one sends it
to `POST /v1/interactions` and a duel that prefers it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from infra.contracts import PreferencePair
from ingest.labels import Labelling
from ingest.ledger import OWNER, PAIR_SIGNALS, Version

Answer = tuple[str, int]
"""(response_id, choice)"""


class PairEvent(NamedTuple):
    """A duel or regeneration with the answer it was filed under."""

    response_id: str
    version: Version

    @property
    def answers(self) -> tuple[Answer, Answer]:
        """The two answers in canonical order: which of them is preferred plays no part."""
        this = (self.response_id, self.version.choice)
        other = (self.version.other_response_id or "", self.version.other_choice)
        return (this, other) if this <= other else (other, this)


def pair_events(versions: Mapping[str, Iterable[Version]]) -> list[PairEvent]:
    """Duels and regenerations among the versions of several responses."""
    return [
        PairEvent(response_id, version)
        for response_id, some in versions.items()
        for version in some
        if version.signal in PAIR_SIGNALS
    ]


def make_pairs(
    project: str,
    events: Iterable[PairEvent],
    owners: Mapping[str, str | None],
    labelling: Labelling,
    made_at: float,
) -> list[PreferencePair]:
    """The pairs that hold. `events`: every duel and regeneration between the answers concerned; `owners`: user key by
    response id of the interactions known."""
    latest: dict[tuple[str, str, tuple[Answer, Answer]], PairEvent] = {}
    for event in events:
        voter = event.version.user_key or owners.get(event.response_id) or OWNER
        key = (voter, event.version.signal, event.answers)
        known = latest.get(key)
        if known is None or _instant(known) < _instant(event):
            latest[key] = event
    return [
        _pair(project, event, voter, labelling, made_at)
        for (voter, _, _), event in latest.items()
        if event.version.operation == "set"
    ]


def _instant(event: PairEvent) -> tuple[float, str]:
    return event.version.derived_at, event.version.event_id


def _pair(project: str, event: PairEvent, voter: str, labelling: Labelling, made_at: float) -> PreferencePair:
    version = event.version
    this, other = (event.response_id, version.choice), (version.other_response_id or "", version.other_choice)
    is_duel = version.signal == "duel"
    preferred, rejected = (this, other) if is_duel else (other, this)
    return PreferencePair(
        project=project,
        pair_id=version.event_id,
        preferred_response_id=preferred[0],
        preferred_choice=preferred[1],
        other_response_id=rejected[0],
        other_choice=rejected[1],
        source=version.signal,
        made_at=made_at,
        user_key=voter or None,
        weight=labelling.duel_weight if is_duel else labelling.regenerate_weight,
    )
