"""The rules of routing, over states made by hand."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from ab_testing.layers import Router
from infra.contracts import Experiment
from serving.routing_state import NothingProven, Route, RoutingState, UnknownModel, held, route, still
from tests.ab_testing.assignment_people import experiment

PEOPLE = [f"user-{number}" for number in range(300)]


def state(*running: Experiment, **changes: Any) -> RoutingState:
    """Champion style@1, everything that runs proven."""
    made = RoutingState(
        champion="style@1",
        last_proven="style@0",
        experiments=running,
        router=Router("shop", running, holdout_share=changes.pop("holdout_share", 0.0)),
        servable=frozenset({"base", "style@0", "style@1"} | {ref for e in running for ref in e.arms.values()}),
    )
    return replace(made, **changes)


def routes(found: RoutingState, **more: Any) -> dict[str, Route]:
    return {person: route(found, "plaudit", person, True, **more) for person in PEOPLE}


def reasons(found: RoutingState, **more: Any) -> set[str]:
    return {taken.why for taken in routes(found, **more).values()}


CHALLENGE = experiment("a", 0.25, slot=(0.0, 0.5))
HOLDBACK = experiment("b", 0.25, slot=(0.5, 0.9), challenger="style@1", control="style@0", kind="holdback")


def test_a_challenge_and_a_holdback_run_beside_each_other() -> None:
    found = routes(state(CHALLENGE, HOLDBACK, holdout_share=0.05))
    assert {(r.experiment, r.arm, r.adapter) for r in found.values()} == {
        ("a", "challenger", "style@2"), ("a", "control", "style@1"),
        ("b", "challenger", "style@1"), ("b", "control", "style@0"), (None, None, "style@1"),
    }  # fmt: skip
    assert {r.why for r in found.values()} == {"counted", "uncounted", "outside"}
    assert all((r.why == "counted") == (r.arm is not None) for r in found.values())
    assert {r.propensity for r in found.values()} == {0.25, None}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"champion": "style@9"}, "ended"),
        ({"servable": frozenset({"base", "style@1"})}, "unproven"),
        ({"rejected": frozenset({"style@2"})}, "unproven"),
        ({"tripped": frozenset({("a", "challenger")})}, "tripped"),
    ],
)
def test_an_arm_that_cannot_be_served_gets_the_champion_uncounted(changes: dict[str, Any], why: str) -> None:
    found = state(CHALLENGE, **changes)
    found = replace(found, servable=found.servable | {found.champion})
    before = routes(state(CHALLENGE))
    for person, taken in routes(found).items():
        if before[person].arm == "challenger":
            assert taken == Route(found.champion)
            assert taken.why == why
        elif why == "tripped":
            assert taken == before[person], "the control goes on"
        else:
            assert taken.arm is None


def test_a_new_champion_given_up_in_its_holdback_answers_nobody() -> None:
    """Nor do comparisons with it go on; the champion before has everybody until the decision."""
    found = state(CHALLENGE, HOLDBACK, tripped=frozenset({("b", "challenger")}), holdout_share=0.05)
    assert {(taken.adapter, taken.arm) for taken in routes(found).values()} == {("style@0", None)}
    assert reasons(found) == {"tripped", "uncounted", "outside"}
    assert still(found, Route("style@1")).adapter == "style@0"
    assert still(found, Route("style@1")).why == "withdrawn"
    assert held(found, Route("style@0"), Route("style@1")).adapter == "style@0"
    assert route(found, "plaudit", None, True).adapter == "style@0"
    alone = replace(found, servable=frozenset({"style@1"}))
    assert route(alone, "plaudit", None, True).adapter == "style@1", "somebody has to answer"
    challenge = state(CHALLENGE, HOLDBACK, tripped=frozenset({("a", "control")}))
    assert challenge.usable("style@1"), "of a challenge's control nothing is given up"


def test_with_three_candidates_only_the_tripped_arm_is_left() -> None:
    three = experiment("a", 1 / 6, others=("kind@1", "kind@2"))
    found = routes(state(three, tripped=frozenset({("a", "challenger-2")})))
    assert {r.arm for r in found.values()} == {"challenger", "challenger-3", "control", None}
    assert "kind@1" not in {r.adapter for r in found.values()}


def test_who_is_not_eligible_anonymous_or_met_by_a_stale_state_is_in_nothing() -> None:
    assert reasons(state(CHALLENGE), eligible=False) == {"ineligible"}
    assert route(state(CHALLENGE), "plaudit", None, True).why == "anonymous"
    assert {route(state(CHALLENGE), "plaudit", person, False).why for person in PEOPLE} == {"stale"}
    assert {r.adapter for r in routes(state(CHALLENGE), eligible=False).values()} == {"style@1"}


def test_forced_answers_come_from_the_arm_or_adapter_and_never_count() -> None:
    found = state(CHALLENGE, HOLDBACK)
    for forced, adapter in (
        ("challenger", "style@2"),
        ("control", "style@1"),
        ("style@0", "style@0"),
        ("base", "base"),
    ):
        taken = route(found, "plaudit", "user-1", True, forced=forced)
        assert (taken, taken.why) == (Route(adapter), "forced")
    tripped = replace(found, tripped=frozenset({("a", "challenger")}))
    for forced in ("challenger", "style@2", "challenger-7", "style@77"):
        assert route(tripped, "plaudit", None, False, forced=forced) == Route("style@1"), "never on a tripped arm"
    assert (
        route(replace(found, rejected=frozenset({"style@0"})), "plaudit", "u", True, forced="style@0").adapter
        == "style@1"
    )


def test_a_forced_arm_is_meant_of_the_challenge_though_a_holdback_is_older() -> None:
    held = replace_struct(HOLDBACK, started_at=0.5)
    found = state(CHALLENGE, held)
    assert found.router.experiments[0] == held
    for forced, adapter in (("challenger", "style@2"), ("control", "style@1")):
        assert route(found, "plaudit", "user-1", True, forced=forced) == Route(adapter)
    assert route(state(held), "plaudit", "user-1", True, forced="control") == Route("style@0")


def test_named_models_are_pinned_and_unknown_ones_refused() -> None:
    assert route(state(CHALLENGE), "style@2", "user-1", True) == Route("style@2")
    with pytest.raises(UnknownModel):
        route(state(CHALLENGE), "style@3", "user-1", True)
    with pytest.raises(NothingProven):
        route(RoutingState(champion="style@1", last_proven="style@1"), "plaudit", "user-1", True)


def test_everything_that_runs_is_wanted_loaded() -> None:
    three = experiment("c", 0.1, others=("kind@1", "kind@2"), slot=(0.9, 1.0))
    assert state(CHALLENGE, three).wanted() == ["style@1", "style@0", "style@2", "kind@1", "kind@2", "base"]


ARM = Route("style@2", "a", "challenger", 0.25, 0)
CONTROL = Route("style@1", "a", "control", 0.25, 0)
CHAMPION = Route("style@1")


@pytest.mark.parametrize(
    ("first", "chosen", "expected"),
    [
        (None, ARM, ARM),
        (ARM, ARM, ARM),
        (ARM, replace(ARM, phase=1), replace(ARM, phase=1)),  # the ramp grew: the same arm
        (CHAMPION, ARM, CHAMPION),  # began before the experiment: keeps its adapter
        (CHAMPION, CONTROL, CHAMPION),  # ... and counts in neither arm
        (ARM, CHAMPION, Route("style@2")),  # the challenger stands by, not in an arm any more
        (Route("style@0"), CHAMPION, Route("style@0")),  # a promotion in the middle of it
        (Route("style@7"), CHAMPION, CHAMPION),  # not loaded any more
    ],
)
def test_a_conversation_keeps_what_it_began_with(first: Route | None, chosen: Route, expected: Route) -> None:
    taken = held(state(CHALLENGE), chosen, first)
    assert taken == expected
    assert (taken.why == "pinned") == (taken != chosen)


def test_a_rollback_or_a_breaker_unpins_at_once() -> None:
    for changes in ({"rejected": frozenset({"style@2"})}, {"tripped": frozenset({("a", "challenger")})}):
        assert held(state(CHALLENGE, **changes), CHAMPION, ARM) == CHAMPION
    promoted = state(HOLDBACK, tripped=frozenset({("b", "challenger")}))
    assert not promoted.usable("style@1"), "a new champion, in its holdback"
    assert held(promoted, Route("style@0"), CHAMPION).adapter == "style@0"


def test_a_dropped_candidate_takes_nobody_with_it() -> None:
    """Its people get the champion, uncounted; the other arms go on, though its adapter is rejected by now."""
    several = experiment("a", 0.15, others=("style@3", "style@4"), config={"dropped": ["challenger-2"]})
    found = routes(state(several, rejected=frozenset({"style@3"}))).values()
    assert {taken.arm for taken in found} == {"challenger", "challenger-3", "control", None}
    before = routes(state(experiment("a", 0.15, others=("style@3", "style@4"))))
    moved = {person for person, taken in before.items() if taken.arm == "challenger-2"}
    assert moved
    after = routes(state(several, rejected=frozenset({"style@3"})))
    assert {person for person in PEOPLE if before[person] != after[person]} == moved
    assert {after[person].adapter for person in moved} == {"style@1"}


def test_what_waited_is_answered_by_the_champion_when_its_adapter_was_rolled_back() -> None:
    taken = route(state(CHALLENGE), "plaudit", "user-1", True)
    challenged = replace(ARM, phase=taken.phase)
    assert still(state(CHALLENGE), challenged) == challenged
    lost = {"servable": frozenset({"style@1", "base"})}
    for changes, why in (({"rejected": frozenset({"style@2"})}, "withdrawn"), (lost, "unhealthy")):
        found = still(state(CHALLENGE, **changes), challenged)
        assert (found, found.why) == (CHAMPION, why)
        assert found.experiment is None, "a fallback counts in no experiment"
        named = Route("style@2", why="named")
        assert still(state(CHALLENGE, **changes), named) == named
    assert still(RoutingState(champion="style@9", last_proven="style@9"), challenged) == challenged


def test_before_anything_is_proven_no_name_is_unknown() -> None:
    """A client that knows `base` and asks as the process starts must come again, not give up."""
    for name in ("base", "kind@1"):
        with pytest.raises(NothingProven):
            route(RoutingState(), name, None, True)
    with pytest.raises(UnknownModel):
        route(RoutingState(servable=frozenset({"base"})), "kind@1", None, True)
