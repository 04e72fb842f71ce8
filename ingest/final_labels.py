"""Final labels: a pure function of the ledger of one answer and of everything known beside it when its window closed.

A provisional label is the plain mean over voters; a final one weighs voters by trust, votes by the inverse of the
propensity to vote, reading times by what length explains, and leaves out objectives without evidence.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from infra.contracts import Label
from ingest.labels import InteractionFacts, Labelling
from ingest.ledger import Surviving, Version, surviving
from ingest.objectives import AMONG_VOTERS, Objective, Reading, Setting, Signals


@dataclass(frozen=True, slots=True)
class Basis:
    """What a final label rests on beside ledger, interaction and specification.

    `open`: objectives whose windows are not closed yet. `refused`: objectives that weigh 0 for want of evidence.
    `trust`: weight in [0, 1] by voter, 1 for whoever is missing. `propensity`: weight > 0 of a vote about this answer,
    1 the average vote's. `reading`: the model of reading times in force. `characters_per_token` is for answers whose
    tokens are unknown.
    """

    open: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    trust: Mapping[str, float] = field(default_factory=dict)
    propensity: float = 1.0
    reading: Reading | None = None
    characters_per_token: float = 4.0


@dataclass(frozen=True, slots=True)
class Voter:
    """One person's signals about one answer, and the class of device they were read on, as far as it is known."""

    key: str
    signals: Signals
    device: str | None


def voters_of(held: Sequence[Surviving]) -> list[Voter]:
    """Signals that hold, by voter, sorted by voter. The device is that of the reading time, else of any signal."""
    grouped: dict[str, list[Surviving]] = {}
    for signal in held:
        grouped.setdefault(signal.voter, []).append(signal)
    return [
        Voter(key, {signal.signal: signal.value for signal in grouped[key]}, _device(grouped[key]))
        for key in sorted(grouped)
    ]


def final_label(
    project: str,
    answer: tuple[str, int],
    versions: Sequence[Version],
    facts: InteractionFacts | None,
    labelling: Labelling,
    basis: Basis,
    *,
    version: int,
    made_at: float,
    window_closes_at: float,
) -> Label:
    """The final label of `answer` = (response_id, choice), `version` >= 1, from all `versions` of its ledger.

    For each objective, over the voters v about whom its definition says x_v, with trust t_v > 0:

        value = sum_v t_v x_v / sum_v t_v,    weight = specification weight * sum_v t_v * propensity weight,

    the last factor for definitions that speak of voters only. Weight 0 without a value or evidence.
    """
    held = surviving(versions, facts.user_key if facts else None)
    voters = voters_of(held)
    setting = _setting(facts, answer[1], basis)
    values: dict[str, float | None] = {}
    weights: dict[str, float] = {}
    for objective in labelling.objectives:
        value, mass = _trusted_mean(objective, voters, setting, basis)
        values[objective.name] = value
        weights[objective.name] = 0.0 if value is None else _weight(objective, mass, basis)
    return Label(
        project=project,
        response_id=answer[0],
        choice=answer[1],
        version=version,
        status="final",
        values=values,
        weights=weights,
        made_at=made_at,
        window_closes_at=window_closes_at,
        events_counted=len(held),
        config_hash=labelling.config_hash,
    )


def opened_at(versions: Sequence[Version], facts: InteractionFacts | None) -> float:
    """Unix seconds at which every window of an answer opens: when the interaction was created or, while that is
    unknown, with the earliest event."""
    return facts.created_at if facts is not None else min(version.derived_at for version in versions)


def still_open(labelling: Labelling, opened: float, closed_before: float) -> frozenset[str]:
    """Objectives whose windows had not closed by `closed_before`."""
    return frozenset(o.name for o in labelling.objectives if opened + o.window_seconds > closed_before)


def last_closing(labelling: Labelling, opened: float, open_names: Collection[str]) -> float:
    """When the last of the windows that are closed closed: the instant a label speaks for."""
    closed = [o.window_seconds for o in labelling.objectives if o.name not in open_names]
    return opened + max(closed, default=labelling.window_seconds)


def next_closing(labelling: Labelling, opened: float, open_names: Collection[str]) -> float | None:
    """When the next window closes; None when none is open."""
    waiting = [o.window_seconds for o in labelling.objectives if o.name in open_names]
    return opened + min(waiting) if waiting else None


def _trusted_mean(
    objective: Objective, voters: Sequence[Voter], setting: Setting, basis: Basis
) -> tuple[float | None, float]:
    """(weighted mean over the voters the definition speaks of, sum of their trust)."""
    total = mass = 0.0
    for voter in voters:
        trust = basis.trust.get(voter.key, 1.0)
        if trust <= 0:
            continue
        its = Setting(
            closed=objective.name not in basis.open,
            characters=setting.characters,
            tokens=setting.tokens,
            device=voter.device,
            reading=setting.reading,
        )
        value = objective.of_voter(voter.signals, its)
        if value is not None:
            total += trust * value
            mass += trust
    return (total / mass if mass > 0 else None), mass


def _weight(objective: Objective, mass: float, basis: Basis) -> float:
    if objective.name in basis.refused:
        return 0.0
    weight = objective.weight * mass
    return weight * basis.propensity if objective.kind in AMONG_VOTERS else weight


def _setting(facts: InteractionFacts | None, choice: int, basis: Basis) -> Setting:
    characters = (facts.characters or {}).get(choice) if facts else None
    sampled = (facts.tokens or {}).get(choice) if facts else None
    tokens = float(sampled) if sampled else characters / basis.characters_per_token if characters else None
    return Setting(closed=True, characters=characters, tokens=tokens, reading=basis.reading)


def _device(signals: Sequence[Surviving]) -> str | None:
    """Of the reading time if it has one, else of the latest signal that has one; `signals` are sorted by time."""
    known = [s for s in signals if s.version.device is not None]
    reading = [s for s in known if s.signal == "dwell"]
    return (reading or known)[-1].version.device if known else None
