"""Who is shown two answers, and which."""

from dataclasses import replace

import pytest

from ab_testing.layers import Router
from infra.contracts import BASE_ADAPTER, Experiment, Phase, SamplingParameters, new_response_id
from infra.contracts.interactions import Message
from infra.settings.serving_parts import DuelSettings
from serving.duels import can_show, draw, possible
from serving.routing_state import Route, RoutingState
from serving.wire import ChatRequest

EXPERIMENT = Experiment(
    project="default",
    experiment_id="e1",
    challenger="kind@2",
    control="kind@1",
    salt="s",
    status="running",
    phases=(Phase(0, 0.5, 1.0),),
    started_at=1.0,
)
STATE = RoutingState(
    champion="kind@1",
    servable=frozenset({"kind@1", "kind@2", BASE_ADAPTER}),
    experiments=(EXPERIMENT,),
    router=Router("default", (EXPERIMENT,)),
)
CHAT = ChatRequest(model="plaudit", messages=(Message("user", "hi"),), sampling=SamplingParameters())
ALWAYS = DuelSettings(rate=1.0)
OUTSIDE = Route("kind@1", why="outside")


def test_only_clients_that_can_show_duels_get_them() -> None:
    assert not can_show(None, {}, ALWAYS)
    assert can_show("1", {}, ALWAYS)
    assert can_show(None, {"plaudit_duels": "1"}, ALWAYS)
    assert can_show(None, {}, DuelSettings(all_clients=True))


@pytest.mark.parametrize(
    ("chat", "route"),
    [
        (CHAT, Route("kind@1", why="named")),
        (CHAT, Route("kind@1", why="forced")),
        (ChatRequest(model="base", messages=CHAT.messages, sampling=CHAT.sampling), OUTSIDE),
        (ChatRequest(model="plaudit", messages=CHAT.messages, sampling=CHAT.sampling, choices=2), OUTSIDE),
        (ChatRequest(model="plaudit", messages=CHAT.messages, sampling=SamplingParameters(seed=1)), OUTSIDE),
        (ChatRequest(model="plaudit", messages=CHAT.messages, sampling=CHAT.sampling, raw=True), OUTSIDE),
    ],
)
def test_what_was_asked_for_precisely_is_no_duel(chat: ChatRequest, route: Route) -> None:
    assert not possible(chat, route)
    assert possible(CHAT, OUTSIDE)


def test_people_outside_see_champion_and_challenger_in_a_random_order() -> None:
    duels = [draw(ALWAYS, "default", new_response_id(), STATE, OUTSIDE) for _ in range(200)]
    orders = [tuple(route.adapter for route in duel.routes) for duel in duels if duel is not None]
    assert len(orders) == 200
    assert set(orders) == {("kind@1", "kind@2"), ("kind@2", "kind@1")}
    assert 60 < orders.count(("kind@1", "kind@2")) < 140
    assert {duel.opponent for duel in duels if duel} == {"challenger"}


def test_people_of_an_arm_only_see_their_own_adapter_and_do_not_count() -> None:
    for adapter, arm in (("kind@2", "challenger"), ("kind@1", "control")):
        counted = Route(adapter, "e1", arm, 0.5, 0)
        duel = draw(ALWAYS, "default", new_response_id(), STATE, counted)
        assert duel is not None
        assert duel.opponent == "self"
        assert {route.adapter for route in duel.routes} == {adapter}
        assert {(route.experiment, route.arm, route.propensity) for route in duel.routes} == {(None, None, None)}
    pinned = draw(ALWAYS, "default", new_response_id(), STATE, Route("kind@1", why="pinned"))
    assert pinned is not None
    assert pinned.opponent == "self"


def test_what_cannot_be_served_is_no_opponent() -> None:
    rejected = replace(STATE, rejected=frozenset({"kind@2"}))
    only = DuelSettings(rate=1.0, opponents=("challenger",))
    assert draw(only, "default", "r", rejected, OUTSIDE) is None
    base = draw(DuelSettings(rate=1.0, opponents=("challenger", "base")), "default", "r", rejected, OUTSIDE)
    assert base is not None
    assert base.opponent == "base"


def test_the_rate_is_kept_and_logged() -> None:
    settings = DuelSettings(rate=0.25)
    duels = [draw(settings, "default", new_response_id(), STATE, OUTSIDE) for _ in range(2000)]
    found = [duel for duel in duels if duel is not None]
    assert 400 < len(found) < 600  # 500 expected, standard deviation 19
    assert {duel.propensity for duel in found} == {0.25}
    assert draw(DuelSettings(), "default", "r", STATE, OUTSIDE) is None
