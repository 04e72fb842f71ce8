"""Order of freezing: fixed, append-only, and blind to when labels were made."""

from hypothesis import given
from hypothesis import strategies as st

from ab_testing.exposures import (
    FIRST_GROUP,
    FLIP,
    UNCOUNTED,
    Exposure,
    exposures_to_write,
    file_in_order,
    freeze_after_seconds,
    until_first_waiting,
)
from infra.settings import Settings
from infra.settings.ingest import IngestSettings

NOBODY = (float("-inf"), "")


def person(user: str, first_at: float, arms_seen: int = 1, arm: str = "control", stage: int = UNCOUNTED) -> Exposure:
    return Exposure(user, arm, 0.5, 0, arms_seen, first_at, stage)


def test_values_freeze_after_every_window_and_lateness(settings: Settings) -> None:
    assert freeze_after_seconds(settings) == 24 * 3600 + 24 * 3600 + 3600 + 600


def test_values_wait_for_the_longest_window_of_an_objective_they_are_made_from(settings: Settings) -> None:
    week = 7 * 24 * 3600.0
    for objective, longer in (("love", week - 24 * 3600), ("reuse", 0.0)):  # no metric is made from reuse
        ingest = IngestSettings(objectives={objective: {"window_seconds": week}})  # type: ignore[arg-type]
        changed = settings.model_copy(update={"ingest": ingest})
        assert freeze_after_seconds(changed) == freeze_after_seconds(settings) + longer


@given(st.permutations([person("a", 3.0), person("b", 1.0), person("c", 1.0), person("d", 2.0)]))
def test_the_order_does_not_depend_on_arrival(people: list[Exposure]) -> None:
    filed = file_in_order(people, 10.0, NOBODY)
    assert [(due.exposure.user_key, due.frozen_at) for due in filed] == [("b", 11), ("c", 11), ("d", 12), ("a", 13)]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 20)), unique_by=lambda p: p[0]), st.floats(0, 20))
def test_late_people_queue_behind_what_was_counted(people: list[tuple[str, float]], frontier: float) -> None:
    filed = file_in_order([person(user, at) for user, at in people], 0.0, (frontier, "m"))
    keys = [(due.frozen_at, due.exposure.user_key) for due in filed]
    assert keys == sorted(keys)
    assert all(key > (frontier, "m") for key in keys)
    assert all(due.frozen_at - max(frontier, due.exposure.first_at) < 1e-9 for due in filed)


def test_nobody_overtakes_a_person_whose_labels_are_open() -> None:
    due = file_in_order([person("a", 1.0), person("b", 2.0), person("c", 3.0)], 0.0, NOBODY)
    assert [p.exposure.user_key for p in until_first_waiting(due, frozenset("b"))] == ["a"]
    assert len(until_first_waiting(due, frozenset("x"))) == 3


def test_only_the_arms_seen_move_once_a_person_is_frozen() -> None:
    known = {
        "a": person("a", 5.0),
        "b": person("b", 5.0, stage=2),
        "c": person("c", 5.0),
        "e": person("e", 5.0, stage=2),
    }
    seen = [
        person("a", 4.0),
        person("b", 4.0, arms_seen=2, arm="challenger"),
        person("c", 5.0),
        person("d", 9.0),
        person("e", 4.0),
    ]
    written = exposures_to_write(seen, known)
    assert written == [person("a", 4.0), person("b", 5.0, arms_seen=2, stage=FLIP), person("d", 9.0)]


def test_a_flip_is_counted_in_the_sample_ratio_once_and_then_no_more() -> None:
    known = {"a": person("a", 5.0), "b": person("b", 5.0, stage=FIRST_GROUP)}
    seen = [person("a", 5.0, arms_seen=2), person("b", 4.0, arms_seen=2)]
    assert [(p.user_key, p.first_at, p.stage) for p in exposures_to_write(seen, known)] == [
        ("a", 5.0, UNCOUNTED),
        ("b", 4.0, FLIP),
    ]
