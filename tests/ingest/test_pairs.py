"""Preference pairs from duels and regenerations."""

from infra.settings.ingest import IngestSettings
from ingest.labels import Labelling
from ingest.pairs import PairEvent, make_pairs
from tests.ingest.builders import START, version

LABELLING = Labelling.of(IngestSettings(duel_weight=1.0, regenerate_weight=0.25))


def made(*events: PairEvent, owners: dict[str, str | None] | None = None) -> list[tuple[str, str, str, float]]:
    pairs = make_pairs("p", events, owners or {}, LABELLING, START)
    return sorted((p.preferred_response_id, p.other_response_id, p.source, p.weight) for p in pairs)


def duel(winner: str, loser: str, at: float = 1.0, **more: object) -> PairEvent:
    return PairEvent(winner, version("duel", at, other_response_id=loser, **more))


def test_a_duel_prefers_its_own_answer_and_a_regeneration_the_one_that_came_instead() -> None:
    again = PairEvent("first", version("regenerate", other_response_id="second"))
    assert made(duel("a", "b")) == [("a", "b", "duel", 1.0)]
    assert made(again) == [("second", "first", "regenerate", 0.25)]


def test_the_pair_is_named_after_its_event() -> None:
    event = duel("a", "b")
    assert [pair.pair_id for pair in make_pairs("p", [event], {}, LABELLING, START)] == [event.version.event_id]


def test_a_changed_mind_filed_under_the_other_answer_replaces_the_pair() -> None:
    assert made(duel("b", "a", 2.0), duel("a", "b", 1.0)) == [("b", "a", "duel", 1.0)]


def test_withdrawing_removes_the_pair_even_when_it_comes_first() -> None:
    assert made(duel("a", "b", 2.0, operation="withdraw"), duel("a", "b", 1.0)) == []


def test_two_people_make_two_pairs_and_one_person_under_two_names_makes_one() -> None:
    events = duel("a", "b", 1.0), duel("b", "a", 2.0, user_key="k")
    assert len(made(*events)) == 2
    assert made(*events, owners={"a": "k"}) == [("b", "a", "duel", 1.0)]


def test_choices_of_one_response_can_meet() -> None:
    event = PairEvent("r", version("duel", choice=1, other_response_id="r", other_choice=0))
    (pair,) = make_pairs("p", [event], {}, LABELLING, START)
    assert (pair.preferred_choice, pair.other_choice) == (1, 0)
