"""From the store to a training set as of an instant: the one place that knows where each part of it comes from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from infra.contracts import OBJECTIVES
from infra.settings import Settings
from reward_model.data import AnswerRow, DataOptions, Gone, Key, LabelRow, PairRow, TrainingSet, build_training_set
from reward_model.edits import LedgerRow, counted, edit_pairs, judges, texts_gone
from reward_model.evidence_repository import Basis, EvidenceRepository
from reward_model.matched_pairs import MatchedOptions
from reward_model.new_people import PeopleOptions
from reward_model.readiness import missing_evidence, news_of

_DAY_SECONDS = 86400.0
_WRITTEN = Basis(frozenset(), known=True)
"""The basis of a label of which none was kept."""


@dataclass(frozen=True)
class Evidence:
    """What stood in the store at `instant`: labels with their judges, pairs (edits among them), their answers, how far
    the judges are trusted, and which labels are gone."""

    instant: float
    labels: list[LabelRow]
    pairs: list[PairRow]
    answers: list[AnswerRow]
    trust: dict[str, float]
    gone: list[Gone]
    dropped: dict[str, int]


def training_set_as_of(connection: Connection, settings: Settings, instant: float) -> TrainingSet:
    """The training set as of `instant` (Unix seconds). The same instant gives the same set and hash, but for rows
    erased or expired since, which the card names. Raises InvalidTrainingRow."""
    evidence = evidence_as_of(connection, settings, instant)
    wanted = settings.reward_model
    made = build_training_set(
        evidence.answers,
        evidence.labels,
        evidence.pairs,
        objectives_of(evidence.labels),
        hold_out_fraction=wanted.hold_out_fraction,
        per_person_weight=wanted.per_person_weight,
        options=options_of(settings, evidence.trust),
        gone=evidence.gone,
    )
    made.card["dropped"] = dict(sorted((Counter(made.card["dropped"]) + Counter(evidence.dropped)).items()))
    return made


def options_of(settings: Settings, trust: Mapping[str, float]) -> DataOptions:
    """The settings of training sets."""
    wanted = settings.reward_model
    return DataOptions(
        half_life_seconds=wanted.age_half_life_days * _DAY_SECONDS,
        matched=MatchedOptions(wanted.matched_pair_weight, wanted.matched_pairs_per_answer, wanted.tied_pairs),
        new_people=PeopleOptions(wanted.new_people_fraction, wanted.new_people_cost),
        salt=wanted.halves_salt,
        trust=trust,
        prior_trust=settings.trust.prior_weight,
    )


def objectives_of(labels: Sequence[LabelRow]) -> tuple[str, ...]:
    """The objectives the labels speak of: the standard ones first, in their order, then a deployment's own."""
    named = {name for label in labels for name in label.values}
    return (*(name for name in OBJECTIVES if name in named), *sorted(named - set(OBJECTIVES)))


def evidence_as_of(connection: Connection, settings: Settings, instant: float) -> Evidence:
    """Read what a training set of `instant` is made of: the newest `max_labels` labels and as many pairs."""
    repository = EvidenceRepository(connection, settings.project)
    wanted = settings.reward_model
    labels = repository.labels_as_of(instant, include_provisional=wanted.include_provisional, limit=wanted.max_labels)
    pairs = repository.pairs_as_of(instant, wanted.max_labels)
    full = len(labels) >= wanted.max_labels
    beyond = repository.older_labels(labels[-1].made_at) if full else 0
    answers = repository.answers({label.key for label in labels} | {k for p in pairs for k in (p.preferred, p.other)})
    known = {answer.key: answer for answer in answers}
    ledger = repository.ledger({label.key[0] for label in labels}, instant)
    bases = repository.bases(labels)
    # Made before its interaction came, a label could not be learned from at that instant, and so not now: ingest makes
    # it again once the interaction is there.
    early = {label.key for label in labels if label.key in known and not bases.get(label.key, _WRITTEN).known}
    joined = {key: answer for key, answer in known.items() if key not in early}
    gone = _gone(repository, labels, joined, bases, ledger, instant, wanted.max_labels)
    seen = {key: basis.events for key, basis in bases.items()}
    events = {label.key: counted(label, ledger.get(label.key, ()), seen) for label in labels}
    labels = [
        replace(label, judges=judges(events[label.key], joined[label.key].user_key)) if label.key in joined else label
        for label in labels
        if label.key not in early
    ]
    edited, texts = _edits(labels, known, events, wanted.edit_pair_weight)
    pairs += [pair for _, pair in edited]
    return Evidence(
        instant=instant,
        labels=labels,
        pairs=pairs,
        answers=[*answers, *(answer for answer, _ in edited)],
        trust=repository.trust_as_of(_distrustable(labels, pairs), instant),
        gone=gone,
        dropped={
            "edits_without_text": texts,
            "labels_without_interaction": len(early),
            "label_versions_beyond_limit": beyond,
        },
    )


def _distrustable(labels: Sequence[LabelRow], pairs: Sequence[PairRow]) -> set[str]:
    """The people whose trust is not in the weights yet: judges of pairs and of provisional labels."""
    provisional = {name for label in labels if label.status == "provisional" for name in label.judges}
    return provisional | {pair.user_key for pair in pairs if pair.user_key}


def reason_to_wait(
    connection: Connection, settings: Settings, instant: float, since: float | None, *, drifted: bool = False
) -> str | None:
    """What is still missing for a training at `instant`, with the numbers; None when nothing is. `since`: the instant
    of the last reward model, None before there is one. Needs no answers, so it costs little."""
    repository = EvidenceRepository(connection, settings.project)
    wanted = settings.reward_model
    labels = repository.labels_as_of(instant, include_provisional=wanted.include_provisional, limit=wanted.max_labels)
    pairs = repository.pairs_as_of(instant, wanted.max_labels)
    trust = repository.trust_as_of({pair.user_key for pair in pairs if pair.user_key}, instant)
    weighed = [
        replace(pair, weight=pair.weight * trust.get(pair.user_key or "", settings.trust.prior_weight))
        for pair in pairs
    ]
    standing = sum(pair.weight > 0.0 for pair in weighed)
    objectives = objectives_of(labels)
    news = news_of(labels, weighed, float("-inf") if since is None else since, objectives)
    return missing_evidence(
        labels,
        standing,
        news.labels,
        news.pairs,
        objectives,
        wanted,
        trained_before=since is not None,
        news=news,
        drifted=drifted,
    )


def _edits(
    labels: Sequence[LabelRow],
    known: Mapping[Key, AnswerRow],
    events: Mapping[Key, list[LedgerRow]],
    weight: float,
) -> tuple[list[tuple[AnswerRow, PairRow]], int]:
    """(edited answers with their pairs, edits whose text is gone)."""
    if weight <= 0.0:
        return [], 0
    found: list[tuple[AnswerRow, PairRow]] = []
    gone = 0
    for label in labels:
        rows = [row for row in events[label.key] if row.signal == "edit"]
        if rows and label.key in known:
            found += edit_pairs(known[label.key], rows, weight, label.made_at)
            gone += texts_gone(rows)
    return found, gone


def _gone(
    repository: EvidenceRepository,
    labels: Sequence[LabelRow],
    known: Mapping[Key, AnswerRow],
    bases: Mapping[Key, Basis],
    ledger: Mapping[Key, Sequence[LedgerRow]],
    instant: float,
    limit: int,
) -> list[Gone]:
    """Labels of the instant that the store cannot give back: theirs, their answers', or some of their events' rows are
    missing. Erased where a tombstone stands for the answer or one of the events; never arrived where the answer was not
    known when the label was made either; else expired."""
    unknown = {label.key for label in labels if label.key not in known}
    nothing = Basis(frozenset(), known=False)
    lost = {key: bases.get(key, nothing).events for key in unknown}
    for label in labels:
        if all(value is None for value in label.values.values()):  # emptied when somebody who voted was erased
            missing = bases.get(label.key, nothing).events - {row.event_id for row in ledger.get(label.key, ())}
            if missing:
                lost[label.key] = missing
    # Bases older than the oldest label in use would not be in the set either, had the set its full size.
    since = min((label.made_at for label in labels), default=0.0) if len(labels) >= limit else 0.0
    lost |= repository.lost_labels(since, instant, limit)
    answers = repository.buried("response", {key[0] for key in lost})
    events = repository.buried("event", {one for ids in lost.values() for one in ids})

    def reason(key: Key) -> str:
        if key[0] in answers or lost[key] & events:
            return "erased"
        return "never arrived" if key in unknown and not bases.get(key, nothing).known else "expired"

    return [Gone(key, reason(key)) for key in sorted(lost)]
