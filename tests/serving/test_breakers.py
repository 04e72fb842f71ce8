"""Circuit breakers: what opens one, what does not, and that the arm is left at once."""

from collections.abc import Callable

import pytest
import torch
from sqlalchemy import select

from ab_testing.layers import Router
from infra.contracts import AdapterVersion, ManualClock, user_key_of
from infra.db import Database
from infra.db.tables import breaker_trips
from infra.event_log.port import EventLog
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from infra.settings import Settings, user_secret
from infra.settings.breakers import BreakerSettings
from serving.breakers import Breakers, Outcome
from serving.chooser import Chooser
from serving.routing_state import Route, RoutingState
from tests.ab_testing.assignment_people import experiment
from tests.serving.conftest import Served, start_experiment, wait_until

GOOD, FAILED, EMPTY = Outcome(False, False, 0.1), Outcome(True), Outcome(False, True, 0.1)


def until_trip(breakers: Breakers, outcome: Outcome, most: int = 200) -> int | None:
    for number in range(1, most + 1):
        if breakers.arm_answered("e1", "challenger", outcome) is not None:
            return number
    return None


@pytest.mark.parametrize(("outcome", "signal"), [(FAILED, "errors"), (EMPTY, "empty")])
def test_an_arm_that_only_fails_is_given_up_after_the_least_number_of_requests(outcome: Outcome, signal: str) -> None:
    breakers = Breakers(BreakerSettings(min_requests=12))
    assert until_trip(breakers, outcome) == 12
    assert breakers.tripped == {("e1", "challenger")}
    (trip,) = breakers.unwritten()
    assert (trip.experiment_id, trip.arm, trip.signal) == ("e1", "challenger", signal)
    assert "5.00%" in trip.reason
    breakers.written([trip])
    assert breakers.unwritten() == []
    assert until_trip(breakers, outcome) is None, "once"


def test_an_arm_within_all_limits_stays() -> None:
    breakers = Breakers(BreakerSettings())
    for number in range(2_000):
        outcome = FAILED if number % 25 == 0 else EMPTY if number % 25 == 1 else GOOD
        assert breakers.arm_answered("e1", "challenger", outcome) is None


def test_slow_is_measured_by_the_champion() -> None:
    breakers = Breakers(BreakerSettings(latency_multiple=3.0))
    assert until_trip(breakers, Outcome(False, False, 9.0)) is None, "nothing is slow before the champion is known"
    for number in range(100):
        breakers.champion_answered("style@1", Outcome(False, False, 0.5 + number / 100))
    # The champion's 95th percentile is 1.45 s: 4.3 s is within three times of it, 4.4 s is not.
    assert until_trip(breakers, Outcome(False, False, 4.3)) is None
    fresh = Breakers(BreakerSettings(latency_multiple=3.0))
    for number in range(100):
        fresh.champion_answered("style@1", Outcome(False, False, 0.5 + number / 100))
    assert until_trip(fresh, Outcome(False, False, 4.4)) == 10


def test_trouble_that_the_champion_has_too_is_not_the_arm_s() -> None:
    breakers = Breakers(BreakerSettings())
    for _ in range(10):
        breakers.champion_answered("style@1", FAILED)
    assert until_trip(breakers, FAILED) is None
    for _ in range(400):
        breakers.champion_answered("style@1", GOOD)
    assert until_trip(breakers, FAILED) is not None, "when the champion is well again it counts"


def beside(breakers: Breakers, new: Outcome, before: Outcome, pairs: int = 60) -> int | None:
    """Counted people of a holdback, by turns; the pair that took the new champion back."""
    for number in range(1, pairs + 1):
        breakers.new_champion_answered("h1", new)
        if breakers.champion_before_answered("h1", before) is not None:
            return number
    return None


@pytest.mark.parametrize(
    ("outcome", "signal"), [(FAILED, "errors"), (EMPTY, "empty"), (Outcome(False, False, 0.4), "slow")]
)
def test_a_new_champion_in_trouble_is_taken_back(outcome: Outcome, signal: str) -> None:
    breakers = Breakers(BreakerSettings())
    assert beside(breakers, GOOD, GOOD, 300) is None
    assert beside(breakers, outcome, GOOD) is not None
    assert breakers.tripped == {("h1", "challenger")}
    (trip,) = breakers.unwritten()
    assert (trip.arm, trip.signal) == ("challenger", signal)
    assert "champion before answers well" in trip.reason
    assert beside(breakers, outcome, GOOD) is None, "once"
    breakers.keep([])
    assert breakers.tripped == frozenset()


def test_outcomes_of_a_holdback_reach_the_comparison(
    settings: Settings, clock: ManualClock, sqlite_database: Database, event_log: EventLog
) -> None:
    """Counted people of both arms, by turns; what the uncounted get says nothing here."""
    breakers = Breakers(BreakerSettings())
    chooser = Chooser(Context(settings, clock, sqlite_database, event_log), breakers)
    holdback = experiment("b", 0.25, challenger="style@1", control="style@0", kind="holdback")
    found = RoutingState("style@1", "style@0", (holdback,), router=Router("shop", (holdback,)))
    new, before = Route("style@1", "b", "challenger"), Route("style@0", "b", "control")
    for _ in range(50):
        assert not chooser.outcome(found, Route("style@1"), FAILED)
        assert not chooser.outcome(found, before, GOOD)
    opened = []
    while not any(opened) and len(opened) < 100:
        chooser.outcome(found, new, EMPTY)
        opened.append(chooser.outcome(found, before, GOOD))
    assert breakers.tripped == {("b", "challenger")}
    assert opened.count(True) == 1


def test_trouble_of_both_champions_is_the_replica_s() -> None:
    breakers = Breakers(BreakerSettings())
    for trouble in (FAILED, EMPTY):
        for _ in range(20):
            assert beside(breakers, GOOD, GOOD, 20) is None
            breakers.new_champion_answered("h1", trouble)  # an outage may begin or end between two answers
            assert beside(breakers, trouble, trouble, 20) is None
            breakers.new_champion_answered("h1", trouble)
            assert breakers.champion_before_answered("h1", GOOD) is None
    assert beside(breakers, GOOD, FAILED, 300) is None, "nor is trouble of the one before"
    assert beside(Breakers(BreakerSettings(enabled=False)), FAILED, GOOD) is None
    nobody = Breakers(BreakerSettings())
    for _ in range(100):
        nobody.new_champion_answered("h1", FAILED)
    assert nobody.tripped == frozenset(), "nothing to compare with"


def test_switched_off_nothing_opens_and_ended_experiments_are_forgotten() -> None:
    assert until_trip(Breakers(BreakerSettings(enabled=False)), FAILED) is None
    breakers = Breakers(BreakerSettings())
    until_trip(breakers, FAILED)
    breakers.keep([experiment("e2", 0.5)])
    assert breakers.tripped == frozenset()


def test_an_arm_whose_weights_rot_in_memory_is_left_at_once(
    served: Served, make_adapter: Callable[..., AdapterVersion]
) -> None:
    """The adapter was proven; then its weights turn to NaN, and all it says is blank."""
    make_adapter("kind", 1, seed=1)
    start_experiment(served.context.database, "kind@1")
    gateway = served.app.state.gateway
    wait_until(lambda: "kind@1" in gateway.state.servable)
    secret = user_secret(served.context.settings)
    draw = gateway.state.router.draw
    people = [f"user-{n}" for n in range(60) if draw(user_key_of(f"user-{n}", secret)).arm == "challenger"][:14]
    assert served.chat(max_tokens=2, user=people[0]).headers["x-plaudit-adapter"] == "kind@1"
    with torch.inference_mode():
        for layer in gateway._engine._voice("kind@1").lora:
            for beside in layer.values():
                beside.b.fill_(float("nan"))
    before = metrics.SERVING_BREAKER_TRIPS.labels(signal="empty")._value.get()
    answers = [served.chat(max_tokens=2, user=person).headers["x-plaudit-adapter"] for person in people]
    assert answers == ["kind@1"] * 9 + ["base"] * 5, "one good answer and nine blank ones make ten requests"
    assert metrics.SERVING_BREAKER_TRIPS.labels(signal="empty")._value.get() == before + 1
    wait_until(lambda: len(_trips(served)) == 1)
    ((replica, arm, reason),) = _trips(served)
    assert (replica, arm) == ("test", "challenger")
    assert "blank" in reason
    logged = served.logged()
    assert sorted((item.adapter, item.arm) for item in logged if item.adapter == "base") == [("base", None)] * 5


def _trips(served: Served) -> list[tuple[str, str, str]]:
    columns = breaker_trips.c
    with served.context.database.reading() as connection:
        rows = connection.execute(select(columns.replica, columns.arm, columns.reason))
        return [(row.replica, row.arm, row.reason) for row in rows]
