"""From rows of the store to what the estimators take: shown answers with covariates, opinions, people and habits."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ingest.labels import InteractionFacts, Labelling
from ingest.repository import Answer, FeedbackRepository
from ingest.selection.features import Covariates
from ingest.selection.model import SelectionModel
from ingest.selection.repository import SelectionRepository, Served, Shown

_NOT_SHOWN = Shown(None, None)


@dataclass
class ShownAnswers:
    """Answers that were shown, one entry each in every list, in the order they were made. `opinions` are in [0, 1],
    None where nobody voted; `asked_with` is the probability with which the person was asked for a vote, None where
    nobody asked."""

    covariates: list[Covariates] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    opinions: list[float | None] = field(default_factory=list)
    asked_with: list[float | None] = field(default_factory=list)
    habits: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(shown, voted) by person, over all of them."""


def shown_answers(connection: Connection, project: str, labelling: Labelling, since: float, limit: int) -> ShownAnswers:
    """The answers shown lately whose windows are closed: of the `limit` final labels made last since `since`."""
    repository = SelectionRepository(connection, project)
    love, sentiment = _named(labelling, "love"), _named(labelling, "sentiment")
    # `love` has a value exactly where somebody trusted was shown the answer.
    labelled = [one for one in repository.labelled(since, limit) if one.values.get(love) is not None]
    ids = {one.response_id for one in labelled}
    served, shown = repository.served(ids), repository.shown(ids)
    facts = _facts(connection, project, ids)
    found = ShownAnswers()
    known = [one for one in labelled if one.response_id in served]
    for one in sorted(known, key=lambda one: (served[one.response_id].created_at, one.response_id, one.choice)):
        interaction, how = served[one.response_id], shown.get((one.response_id, one.choice), _NOT_SHOWN)
        person, opinion = person_of(interaction, one.response_id), one.values.get(sentiment)
        before = found.habits.get(person, (0, 0))
        found.covariates.append(covariates_of(interaction, how, facts.get(one.response_id), one.choice, before))
        found.people.append(person)
        found.opinions.append(opinion)
        found.asked_with.append(how.solicited)
        found.habits[person] = (before[0] + 1, before[1] + (opinion is not None))
    return found


def vote_weights(
    connection: Connection, project: str, version: int, model: SelectionModel, answers: Collection[Answer]
) -> Mapping[Answer, float]:
    """Weight of a vote about each of `answers`, relative to the average vote; answers whose interaction is unknown are
    left out. The habits are those counted for this version of the model."""
    ids = {response_id for response_id, _ in answers}
    repository = SelectionRepository(connection, project)
    served, shown, facts = repository.served(ids), repository.shown(ids), _facts(connection, project, ids)
    people = {response_id: person_of(one, response_id) for response_id, one in served.items()}
    habits = repository.habits(version, set(people.values()))
    weights: dict[Answer, float] = {}
    for response_id, choice in answers:
        if response_id not in served:
            continue
        person, how = people[response_id], shown.get((response_id, choice), _NOT_SHOWN)
        given = covariates_of(served[response_id], how, facts.get(response_id), choice, habits.get(person, (0, 0)))
        weights[response_id, choice] = model.weight(given, person)
    return weights


def covariates_of(
    served: Served, shown: Shown, facts: InteractionFacts | None, choice: int, habit: tuple[int, int]
) -> Covariates:
    """The covariates of one answer; `habit` is (shown, voted) of the person."""
    when = datetime.datetime.fromtimestamp(served.created_at, datetime.UTC)
    return Covariates(
        device=shown.device or "other",
        hour=when.hour + when.minute / 60,
        characters=float((facts.characters.get(choice) if facts else None) or 0),
        prompt_characters=float(served.prompt_characters),
        turn=float(served.turn),
        adapter=served.adapter,
        shown=float(habit[0]),
        voted=float(habit[1]),
        asked=shown.solicited is not None,
    )


def person_of(served: Served, response_id: str) -> str:
    """Who was shown the answer; without a user key every response is a person of its own."""
    return served.user_key or f"response {response_id}"


def _facts(connection: Connection, project: str, ids: Collection[str]) -> Mapping[str, InteractionFacts]:
    return FeedbackRepository(connection, project).facts(sorted(ids))


def _named(labelling: Labelling, kind: str) -> str:
    """The first objective of this definition."""
    return next((objective.name for objective in labelling.objectives if objective.kind == kind), kind)


def only_people(habits: Mapping[str, tuple[int, int]], people: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Habits of people with a user key: those who can come back."""
    return {person: habits[person] for person in people if not person.startswith("response ")}
