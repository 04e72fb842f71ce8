"""Labels: the reward vector of one answer, a pure function of its ledger, its interaction and the configuration."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from infra.contracts import Label, LabelStatus
from infra.settings.rewards import Specification
from ingest.ledger import Surviving, Version, surviving
from ingest.objectives import Objective, Setting, Signals, resolve
from ingest.specification.document import document_hash, document_of

_decode_lengths = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


@dataclass(frozen=True, slots=True)
class Labelling:
    """How labels and pairs are made: the objectives, the shortest of their windows (the first at whose end a label
    becomes final), and a hash of the specification that every label carries."""

    objectives: tuple[Objective, ...]
    window_seconds: float
    duel_weight: float
    regenerate_weight: float
    config_hash: str

    @classmethod
    def of(cls, settings: Specification) -> "Labelling":
        """From the settings. Raises UnknownObjective."""
        digest = document_hash(document_of(settings))
        objectives = resolve(settings.objectives, settings.window_seconds)
        first = min((objective.window_seconds for objective in objectives), default=settings.window_seconds)
        return cls(objectives, first, settings.duel_weight, settings.regenerate_weight, digest)


@dataclass(frozen=True, slots=True)
class InteractionFacts:
    """What a label needs of the interaction. `lengths` is JSON, [[choice, characters, tokens], ...], read only where a
    definition asks for it; None: unknown."""

    user_key: str | None
    created_at: float
    lengths: str | None = None

    @property
    def characters(self) -> dict[int, int]:
        """Length of each answer in characters, by choice."""
        return {choice: characters for choice, characters, _ in self._lengths()}

    @property
    def tokens(self) -> dict[int, int]:
        """Length of each answer in sampled tokens, by choice; 0 for answers made elsewhere."""
        return {choice: tokens for choice, _, tokens in self._lengths()}

    def _lengths(self) -> list[tuple[int, int, int]]:
        return _decode_lengths(self.lengths) if self.lengths else []


def window_closes_at(versions: Sequence[Version], facts: InteractionFacts | None, window_seconds: float) -> float:
    """Unix seconds at which the window closes: it opens when the interaction was created or, while that is unknown,
    with the earliest event of the answer."""
    start = facts.created_at if facts is not None else min(version.derived_at for version in versions)
    return start + window_seconds


def by_voter(signals: Iterable[Surviving]) -> list[Signals]:
    """Signals that hold, grouped by voter."""
    voters: dict[str, dict[str, float | None]] = {}
    for held in signals:
        voters.setdefault(held.voter, {})[held.signal] = held.value
    # Sorted: a mean of floats must not depend on the order in which voters came.
    return [voters[voter] for voter in sorted(voters)]


def make_label(
    project: str,
    answer: tuple[str, int],
    versions: Sequence[Version],
    facts: InteractionFacts | None,
    labelling: Labelling,
    *,
    version: int,
    made_at: float,
) -> Label:
    """The label of `answer` = (response_id, choice) from all `versions` of its ledger (at least one).

    `version` 0 is provisional (window open), from 1 on final (window closed). An objective without a value weighs 0.
    """
    held = surviving(versions, facts.user_key if facts else None)
    voters = by_voter(held)
    characters = facts.characters.get(answer[1]) if facts else None
    setting = Setting(closed=version > 0, characters=characters)
    values = {objective.name: objective.value(voters, setting) for objective in labelling.objectives}
    weights = {o.name: o.weight if values[o.name] is not None else 0.0 for o in labelling.objectives}
    status: LabelStatus = "final" if version > 0 else "provisional"
    return Label(
        project=project,
        response_id=answer[0],
        choice=answer[1],
        version=version,
        status=status,
        values=values,
        weights=weights,
        made_at=made_at,
        window_closes_at=window_closes_at(versions, facts, labelling.window_seconds),
        events_counted=len(held),
        config_hash=labelling.config_hash,
    )
