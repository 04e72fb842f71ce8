"""Closing windows: provisional labels become final ones, by all that is known then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection

from infra.contracts import Label
from infra.runtime import tracing
from ingest.basis_repository import BasisDocument, BasisRepository
from ingest.evidence import NOTHING_KNOWN, Evidence
from ingest.final_labels import Basis, final_label, last_closing, next_closing, opened_at, still_open, voters_of
from ingest.labelling import by_answer
from ingest.labels import InteractionFacts, Labelling, make_label
from ingest.ledger import OWNER, Version, surviving
from ingest.repository import Answer, FeedbackRepository
from ingest.specification.repository import SpecificationRepository

VOTES = frozenset({"like", "dislike", "rating"})
FOR_EVER = float("inf")
"""Every window is closed before this instant."""


@dataclass(frozen=True)
class Closing:
    """How windows are closed: the specification in force, the instant (Unix seconds) labels are made at and the one
    before which windows count as closed, what is known, and a candidate specification beside the one in force."""

    labelling: Labelling
    now: float
    closed_before: float = FOR_EVER
    evidence: Evidence = NOTHING_KNOWN
    candidate: Labelling | None = None


@dataclass(frozen=True)
class _Case:
    """One answer: its ledger, its interaction, what is known of its voters, and the final label it has."""

    project: str
    answer: Answer
    ledger: Sequence[Version]
    facts: InteractionFacts | None
    trust: Mapping[str, float]
    propensity: float
    before: Label | None

    @property
    def opened(self) -> float:
        return opened_at(self.ledger, self.facts)


@dataclass
class _Made:
    """What one transaction writes."""

    finals: list[Label] = field(default_factory=list)
    bases: list[tuple[Label, BasisDocument, Sequence[Version]]] = field(default_factory=list)
    shadows: list[Label] = field(default_factory=list)
    waiting: list[Label] = field(default_factory=list)
    done: list[Answer] = field(default_factory=list)


def close(connection: Connection, project: str, answers: Sequence[Answer], closing: Closing) -> int:
    """Turn the provisional labels of `answers` into final ones; returns how many final versions were written.

    An answer whose final label would say nothing new keeps the one it has. Where some windows are still open, their
    objectives have no value yet, and a provisional label stays until the next of them closes.
    """
    repository = FeedbackRepository(connection, project)
    made = _Made()
    bases = BasisRepository(connection, project)
    # A version number is used once, also where erasure took the label that had it.
    used = bases.newest_versions({response_id for response_id, _ in answers})
    for case in _cases(repository, project, answers, closing.evidence, made):
        newest = max(used.get(case.answer, 0), case.before.version if case.before else 0)
        _close_one(case, closing, newest + 1, made)
    repository.put_labels([*made.finals, *made.waiting])
    bases.put(made.bases)
    SpecificationRepository(connection, project).put_shadows(made.shadows)
    repository.delete_provisional(made.done)
    tracing.happened("label.final", [label.response_id for label in made.finals], closing.now, closing.now)
    return len(made.finals)


def same(one: Label, other: Label) -> bool:
    """Whether two labels of one answer say the same."""
    return (one.values, one.weights, one.events_counted, one.window_closes_at, one.config_hash) == (
        other.values,
        other.weights,
        other.events_counted,
        other.window_closes_at,
        other.config_hash,
    )


def _cases(
    repository: FeedbackRepository, project: str, answers: Sequence[Answer], evidence: Evidence, made: _Made
) -> list[_Case]:
    versions = repository.versions({response_id for response_id, _ in answers})
    facts = repository.facts(versions)
    known = repository.final_labels(versions)
    ledgers = by_answer(versions)
    # Erased meanwhile: there is nothing to say about them.
    made.done += [answer for answer in answers if answer not in ledgers]
    there = [answer for answer in answers if answer in ledgers]
    owners = {one.user_key for one in facts.values() if one.user_key}
    people = owners | {v.user_key for some in versions.values() for v in some if v.user_key} | {OWNER}
    # Only votes are weighted by who votes: of the others nobody need know.
    voted = [answer for answer in there if any(v.signal in VOTES for v in ledgers[answer])]
    trust, propensities = evidence.trust(people), evidence.propensities(voted)
    return [
        _Case(
            project,
            answer,
            ledgers[answer],
            facts.get(answer[0]),
            trust,
            propensities.get(answer, 1.0),
            known.get(answer),
        )
        for answer in there
    ]


def _close_one(case: _Case, closing: Closing, version: int, made: _Made) -> None:
    basis = _basis(case, closing, closing.labelling)
    label = _label(case, closing.labelling, basis, version, closing.now)
    if label is not None and (case.before is None or not same(case.before, label)):
        made.finals.append(label)
        made.bases.append((label, _document(case, basis, closing.evidence), case.ledger))
    nexts = [next_closing(closing.labelling, case.opened, basis.open)]
    if closing.candidate is not None:
        basis = _basis(case, closing, closing.candidate)
        shadow = _label(case, closing.candidate, basis, version, closing.now)
        made.shadows += [shadow] if shadow else []
        nexts.append(next_closing(closing.candidate, case.opened, basis.open))
    later = [one for one in nexts if one is not None]
    if not later:
        made.done.append(case.answer)
        return
    provisional = make_label(
        case.project, case.answer, case.ledger, case.facts, closing.labelling, version=0, made_at=closing.now
    )
    made.waiting.append(msgspec.structs.replace(provisional, window_closes_at=min(later)))


def _basis(case: _Case, closing: Closing, labelling: Labelling) -> Basis:
    evidence = closing.evidence
    return Basis(
        open=still_open(labelling, case.opened, closing.closed_before),
        refused=evidence.refused,
        trust=case.trust,
        propensity=case.propensity,
        reading=evidence.reading,
        characters_per_token=evidence.characters_per_token,
    )


def _label(case: _Case, labelling: Labelling, basis: Basis, version: int, now: float) -> Label | None:
    """The final label by `labelling`, or None while all of its windows are open."""
    if labelling.objectives and len(basis.open) == len(labelling.objectives):
        return None
    return final_label(
        case.project,
        case.answer,
        case.ledger,
        case.facts,
        labelling,
        basis,
        version=version,
        made_at=now,
        window_closes_at=last_closing(labelling, case.opened, basis.open),
    )


def _document(case: _Case, basis: Basis, evidence: Evidence) -> BasisDocument:
    """The basis as it is kept: trust by voter in the order of their keys, and no keys."""
    voters = voters_of(surviving(case.ledger, case.facts.user_key if case.facts else None))
    trust = tuple(basis.trust.get(voter.key, 1.0) for voter in voters)
    return BasisDocument(
        known=case.facts is not None,
        open=tuple(sorted(basis.open)),
        refused=tuple(sorted(basis.refused)),
        trust=() if all(weight == 1.0 for weight in trust) else trust,
        propensity=basis.propensity,
        dwell_model=evidence.dwell_version,
        selection_model=evidence.selection_version,
        characters_per_token=basis.characters_per_token,
    )
