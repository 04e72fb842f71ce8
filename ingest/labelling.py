"""Labels and pairs of the answers a transaction touched, remade from the ledger. Cost follows the answers touched."""

from collections.abc import Iterable, Mapping

from ingest.labels import InteractionFacts, Labelling, make_label
from ingest.ledger import Version
from ingest.pairs import make_pairs, pair_events
from ingest.repository import Answer, FeedbackRepository


def remake(
    repository: FeedbackRepository, project: str, response_ids: Iterable[str], labelling: Labelling, now: float
) -> int:
    """Remake the provisional labels and the pairs of these responses; returns the number of labels.

    A response without feedback has neither. An answer whose label is final gets a provisional one beside it again: the
    label job takes that as the order to make a new final version.
    """
    touched = set(response_ids)
    versions = repository.versions(touched)
    facts = repository.facts(versions)
    made = [
        make_label(project, answer, ledger, facts.get(answer[0]), labelling, version=0, made_at=now)
        for answer, ledger in by_answer(versions).items()
    ]
    repository.put_labels(made)
    remake_pairs(repository, project, versions, facts, labelling, now)
    return len(made)


def by_answer(versions: Mapping[str, Iterable[Version]]) -> dict[Answer, list[Version]]:
    """Versions by response, split by answer."""
    answers: dict[Answer, list[Version]] = {}
    for response_id, some in versions.items():
        for version in some:
            answers.setdefault((response_id, version.choice), []).append(version)
    return answers


def remake_pairs(
    repository: FeedbackRepository,
    project: str,
    versions: Mapping[str, list[Version]],
    facts: Mapping[str, InteractionFacts],
    labelling: Labelling,
    now: float,
) -> None:
    """Remake the pairs that these `versions` and what is said elsewhere about the same answers make."""
    touched = pair_events(versions)
    if not touched:
        return
    concerned = {event.answers for event in touched}
    # What was said about the same two answers, but filed under the other one.
    elsewhere = {answer[0] for answers in concerned for answer in answers} - versions.keys()
    others = pair_events(repository.versions(elsewhere, pairs_only=True))
    events = touched + [event for event in others if event.answers in concerned]
    owners = {response_id: known.user_key for response_id, known in facts.items()}
    owners |= {response_id: known.user_key for response_id, known in repository.facts(elsewhere).items()}
    held = make_pairs(project, events, owners, labelling, now)
    gone = {event.version.event_id for event in events} - {pair.pair_id for pair in held}
    repository.put_pairs(held, gone, now)
