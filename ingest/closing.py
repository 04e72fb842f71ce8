"""Closing windows: provisional labels become final ones."""

from infra.contracts import Label
from ingest.labelling import by_answer, dwelled
from ingest.labels import Labelling, make_label
from ingest.repository import Answer, FeedbackRepository


def close(repository: FeedbackRepository, project: str, answers: list[Answer], labelling: Labelling, now: float) -> int:
    """Turn the provisional labels of `answers` into final ones; returns how many final versions were written.

    An answer whose final label would say nothing new keeps the one it has.
    """
    versions = repository.versions({response_id for response_id, _ in answers})
    facts = repository.facts(versions, lengths_of=dwelled(versions))
    known = repository.final_labels(versions)
    ledgers = by_answer(versions)
    made: list[Label] = []
    for answer in answers:
        if answer not in ledgers:
            continue  # erased meanwhile: there is nothing to say about it
        before = known.get(answer)
        version = before.version + 1 if before else 1
        label = make_label(
            project, answer, ledgers[answer], facts.get(answer[0]), labelling, version=version, made_at=now
        )
        if before is None or not same(before, label):
            made.append(label)
    repository.put_labels(made)
    repository.delete_provisional(answers)
    return len(made)


def same(one: Label, other: Label) -> bool:
    """Whether two labels of one answer say the same."""
    return (one.values, one.weights, one.events_counted, one.window_closes_at, one.config_hash) == (
        other.values,
        other.weights,
        other.events_counted,
        other.window_closes_at,
        other.config_hash,
    )
