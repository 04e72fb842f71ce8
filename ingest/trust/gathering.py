"""From the ledger to the evidence: whose opinion about which answer holds, and what else they did about it."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from infra.settings.trust import TrustSettings
from ingest.ledger import OWNER, Surviving, Version, surviving
from ingest.trust.duplicates import group_duplicates
from ingest.trust.evidence import MISSING, Evidence
from ingest.trust.texts import mean_by_group, text_features

Answer = tuple[str, int]
"""(response_id, choice)"""

KEPT = frozenset({"copy", "reuse", "share", "edit"})
ACTS = KEPT | {"like", "dislike", "rating", "report", "regenerate", "duel", "comment"}
"""Signals that count against the cap: whatever a person does to say something, reading aside."""
FEWEST_DWELLS = 4
"""Reading times from which a person has a usual one."""


class Text(NamedTuple):
    """What an answer says, and what it was asked."""

    prompt: str
    answer: str


class Opinion(NamedTuple):
    """What one person says of one answer: 1 like, 0 dislike, or a rating; `at` in Unix seconds; and what else they did:
    rated it above the middle, read it longer than they usually do, kept it (each 1, 0 or MISSING)."""

    person: str
    answer: Answer
    value: float
    at: float
    also: tuple[int, int, int]


class Duel(NamedTuple):
    """One person prefers `chosen` to `rejected`."""

    person: str
    chosen: Answer
    rejected: Answer
    at: float


@dataclass
class Gathered:
    """What holds in the ledger, by person and answer. `acts`: (person, instant) of everything that counts for the cap,
    one a person and answer."""

    opinions: list[Opinion] = field(default_factory=list)
    duels: list[Duel] = field(default_factory=list)
    acts: list[tuple[str, float]] = field(default_factory=list)


def gather(ledgers: Mapping[str, Iterable[Version]], owners: Mapping[str, str | None]) -> Gathered:
    """What holds among `ledgers` (versions by response id). Votes of nobody in particular are left out."""
    held: dict[Answer, dict[str, list[Surviving]]] = {}
    for response_id in sorted(ledgers):
        by_choice: dict[int, list[Version]] = {}
        for version in ledgers[response_id]:
            by_choice.setdefault(version.choice, []).append(version)
        for choice, versions in sorted(by_choice.items()):
            voters = held.setdefault((response_id, choice), {})
            for signal in surviving(versions, owners.get(response_id)):
                if signal.voter != OWNER:
                    voters.setdefault(signal.voter, []).append(signal)
    usual = _usual_dwell(held)
    gathered = Gathered()
    latest: dict[tuple[str, Answer, Answer], tuple[float, str, Duel]] = {}
    for answer, voters in held.items():
        for person, signals in sorted(voters.items()):
            acts = [signal.version.derived_at for signal in signals if signal.signal in ACTS]
            if acts:
                gathered.acts.append((person, max(acts)))
            opinion = _opinion(person, answer, signals, usual.get(person))
            if opinion is not None:
                gathered.opinions.append(opinion)
            _note_duels(latest, person, answer, signals)
    gathered.duels = [duel for _, _, duel in latest.values()]
    return gathered


def _usual_dwell(held: Mapping[Answer, Mapping[str, list[Surviving]]]) -> dict[str, float]:
    """Median reading time, seconds, of everybody with enough of them."""
    times: dict[str, list[float]] = {}
    for voters in held.values():
        for person, signals in voters.items():
            times.setdefault(person, []).extend(s.value for s in signals if s.signal == "dwell" and s.value is not None)
    return {person: float(np.median(some)) for person, some in times.items() if len(some) >= FEWEST_DWELLS}


def _opinion(person: str, answer: Answer, signals: list[Surviving], usual: float | None) -> Opinion | None:
    by_name = {signal.signal: signal for signal in signals}
    vote = by_name.get("like") or by_name.get("dislike")
    rating, dwell = by_name.get("rating"), by_name.get("dwell")
    said = vote or rating
    if said is None:
        return None
    if vote is not None:
        value = 1.0 if vote.signal == "like" else 0.0
    else:
        value = said.value if said.value is not None else 0.5
    rated = MISSING if vote is None or rating is None or rating.value is None else int(rating.value > 0.5)
    stayed = MISSING if usual is None or dwell is None or dwell.value is None else int(dwell.value > usual)
    kept = int(any(signal.signal in KEPT for signal in signals))
    return Opinion(person, answer, value, said.version.derived_at, (rated, stayed, kept))


def _note_duels(
    latest: dict[tuple[str, Answer, Answer], tuple[float, str, Duel]],
    person: str,
    answer: Answer,
    signals: list[Surviving],
) -> None:
    """Of the duels between two answers, filed under either, the person's latest holds."""
    for signal in signals:
        if signal.signal != "duel":
            continue
        version = signal.version
        other = (version.other_response_id or "", version.other_choice)
        key = (person, min(answer, other), max(answer, other))
        known = latest.get(key)
        if known is None or known[:2] < (version.derived_at, version.event_id):
            duel = Duel(person, answer, other, version.derived_at)
            latest[key] = (version.derived_at, version.event_id, duel)


class Named(NamedTuple):
    """Evidence with the names of its rows: `people` by number, and which item each answer became."""

    evidence: Evidence
    people: list[str]
    items: dict[Answer, int]


def to_evidence(
    gathered: Gathered,
    texts: Mapping[Answer, Text],
    honeypots: Set[tuple[Answer, Answer]],
    settings: TrustSettings,
) -> Named:
    """Arrays from what was gathered. `texts` of as many answers as are known; `honeypots`: (better, worse)."""
    people = sorted({o.person for o in gathered.opinions} | {d.person for d in gathered.duels})
    number = {person: i for i, person in enumerate(people)}
    answers = sorted({o.answer for o in gathered.opinions} | {a for d in gathered.duels for a in d[1:3]})
    known = [texts.get(answer, Text("", "")) for answer in answers]
    group = group_duplicates([t.prompt for t in known], [t.answer for t in known], settings.duplicate_similarity)
    items = {answer: int(g) for answer, g in zip(answers, group, strict=True)}
    size = int(group.max()) + 1 if len(group) else 0
    joined = [f"{text.prompt}\n{text.answer}" if text.answer else "" for text in known]
    features = mean_by_group(text_features(joined, settings.feature_dimensions, settings.seed), group, size)
    rows = _merged(gathered.opinions, number, items)
    duels = sorted(gathered.duels)
    acts = sorted((number[person], at) for person, at in gathered.acts if person in number)
    evidence = Evidence(
        people=len(people),
        items=size,
        person=np.array([row[0] for row in rows], np.int64),
        item=np.array([row[1] for row in rows], np.int64),
        value=np.array([row[2] for row in rows], np.float64),
        at=np.array([row[3] for row in rows], np.float64),
        features=features,
        also=np.array([row[4] for row in rows], np.int8).reshape(-1, 3),
        judge=np.array([number[d.person] for d in duels], np.int64),
        chosen=np.array([items[d.chosen] for d in duels], np.int64),
        rejected=np.array([items[d.rejected] for d in duels], np.int64),
        right=np.array([_right(d, honeypots) for d in duels], np.float64),
        actor=np.array([a for a, _ in acts], np.int64),
        acted_at=np.array([at for _, at in acts], np.float64),
    )
    return Named(evidence, people, items)


def _merged(
    opinions: list[Opinion], number: Mapping[str, int], items: Mapping[Answer, int]
) -> list[tuple[int, int, float, float, tuple[int, ...]]]:
    """One row a person and item: who votes on two near-duplicates must not agree with themselves."""
    together: dict[tuple[int, int], list[Opinion]] = {}
    for opinion in opinions:
        together.setdefault((number[opinion.person], items[opinion.answer]), []).append(opinion)
    return [
        (
            *key,
            sum(o.value for o in some) / len(some),
            max(o.at for o in some),
            tuple(max(values) for values in zip(*(o.also for o in some), strict=True)),
        )
        for key, some in sorted(together.items())
    ]


def _right(duel: Duel, honeypots: Set[tuple[Answer, Answer]]) -> float:
    if (duel.chosen, duel.rejected) in honeypots:
        return 1.0
    return 0.0 if (duel.rejected, duel.chosen) in honeypots else float("nan")
