"""Pinned conversations, testers and eligibility, through the gateway and the store."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from infra.contracts import AdapterVersion, user_key_of
from infra.db import Database
from infra.db.tables import interactions
from infra.runtime import Context
from infra.settings import Settings, user_secret
from infra.settings.ab_routing import EligibilitySettings
from infra.settings.access import AccessSettings
from ingest.access.service import create_key
from serving.conversations import Conversations, owner_of
from serving.repository import ServingRepository, conversation_turns
from serving.routing_state import Route, RoutingState
from tests.ab_testing.assignment_people import experiment
from tests.serving.conftest import PROJECT, Served, set_champion, start_experiment, wait_until

MakeAdapter = Callable[..., AdapterVersion]
FIRST = [{"role": "user", "content": "Hello?"}]
SECOND = [*FIRST, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "And then?"}]


def ask(served: Served, user: str, conversation: str, messages: list[dict[str, str]] = FIRST, **more: Any) -> str:
    body = {
        "model": "plaudit", "messages": messages, "user": user, "max_tokens": 2,
        "metadata": {"conversation_id": conversation, **more.pop("metadata", {})},
    }  # fmt: skip
    answer = served.client.post("/v1/chat/completions", json=body, **more)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-plaudit-adapter"]


def challenged(served: Served, count: int) -> list[str]:
    """Users in the challenger's arm."""
    secret, draw = user_secret(served.context.settings), served.app.state.gateway.state.router.draw
    users = [f"user-{number}" for number in range(80)]
    return [user for user in users if draw(user_key_of(user, secret)).arm == "challenger"][:count]


def test_a_conversation_keeps_its_adapter_through_a_start_and_loses_it_by_a_rollback(
    served: Served, make_adapter: MakeAdapter
) -> None:
    make_adapter("kind", 1, seed=1)
    database = served.context.database
    before = {f"user-{number}": ask(served, f"user-{number}", f"old-{number}") for number in range(24)}
    assert set(before.values()) == {"base"}
    start_experiment(database, "kind@1")
    wait_until(lambda: "kind@1" in served.app.state.gateway.state.servable)
    treated = [user for user in challenged(served, 80) if user in before][:4]
    assert treated  # the secret of assignments is drawn anew: with fewer people there might be none
    for user in treated:
        assert ask(served, user, f"old-{user[5:]}") == "base", "it began with the base"
        assert ask(served, user, f"new-{user[5:]}") == "kind@1"
    logged = {(item.conversation_id, item.adapter, item.arm) for item in served.logged()}
    for user in treated:
        assert (f"old-{user[5:]}", "base", None) in logged
        assert (f"new-{user[5:]}", "kind@1", "challenger") in logged
    with database.transaction() as connection:
        connection.execute(text("UPDATE experiments SET status = 'stopped'"))
        connection.execute(text("UPDATE adapters SET state = 'rejected'"))
    user = treated[0]
    wait_until(lambda: ask(served, user, f"new-{user[5:]}") == "base")


def test_a_conversation_without_a_user_keeps_its_adapter_too(served: Served, make_adapter: MakeAdapter) -> None:
    make_adapter("kind", 1, seed=1)
    fresh, database = (f"new-{number}" for number in itertools.count()), served.context.database
    assert ask(served, "", "old") == "base"
    set_champion(database, "kind@1")
    wait_until(lambda: ask(served, "", next(fresh)) == "kind@1")
    assert ask(served, "", "old", SECOND) == "base"
    assert ask(served, "", "young") == "kind@1"
    (pinned,) = [one for one in served.logged() if one.conversation_id == "old" and one.why == "pinned"]
    assert (pinned.adapter, pinned.user_key, pinned.experiment) == ("base", None, None)
    set_champion(database, "base", "kind@1")
    with database.transaction() as connection:
        connection.execute(text("UPDATE adapters SET state = 'rejected'"))
    wait_until(lambda: ask(served, "", "young", SECOND) == "base")


def test_callers_do_not_share_conversations() -> None:
    owners = {owner_of(None, "key-1"), owner_of(None, "key-2"), owner_of("key-1", "key-2"), owner_of(None, None)}
    assert len(owners) == 4
    assert owner_of(None, None) is None, "nobody's"


@pytest.fixture
def testing(context: Context) -> Iterator[Served]:
    """A gateway with keys, a tester, and an experiment for German speakers."""
    settings: Settings = context.settings
    tester = user_key_of("tester", user_secret(settings))
    rules = settings.ab_testing.model_copy(
        update={"testers": {tester: "challenger"}, "eligibility": EligibilitySettings(all_of={"locale": ("de",)})}
    )
    changed = settings.model_copy(update={"ab_testing": rules, "access": AccessSettings(require_keys=True)})
    gateway = Served(Context(changed, context.clock, context.database, context.event_log))
    gateway.start()
    yield gateway
    gateway.stop()


def test_testers_force_arms_and_rules_keep_people_out(testing: Served, make_adapter: MakeAdapter) -> None:
    make_adapter("kind", 1, seed=1)
    start_experiment(testing.context.database, "kind@1")
    wait_until(lambda: "kind@1" in testing.app.state.gateway.state.servable)
    keys = {scope: create_key(testing.context, scope, [scope], actor="test")[1] for scope in ("infer", "admin")}
    headers = {scope: {"authorization": f"Bearer {key}"} for scope, key in keys.items()}
    (treated,) = challenged(testing, 1)
    german = {"locale": "de"}
    assert ask(testing, treated, "c1", headers=headers["infer"]) == "base", "not eligible: says nothing of a locale"
    assert ask(testing, treated, "c2", headers=headers["infer"], metadata=german) == "kind@1"
    assert ask(testing, "tester", "c3", headers=headers["infer"]) == "kind@1"
    by_admin = {**headers["admin"], "x-plaudit-force-arm": "challenger"}
    assert ask(testing, "somebody", "c4", headers=by_admin) == "kind@1"
    forced = {"plaudit_force_arm": "kind@1"}
    assert ask(testing, "somebody", "c5", headers=headers["admin"], metadata=forced) == "kind@1"
    told = testing.client.post("/v1/chat/completions", json={"messages": FIRST, "max_tokens": 2}, headers=by_admin)
    assert (told.headers["x-plaudit-experiment"], told.headers["x-plaudit-arm"]) == ("e1", "challenger")
    body = {"messages": FIRST, "max_tokens": 2, "user": treated, "metadata": german}
    blind = testing.client.post("/v1/chat/completions", json=body, headers=headers["infer"])
    assert not {"x-plaudit-experiment", "x-plaudit-arm"} & set(blind.headers)
    for who, arm, status in (("infer", "challenger", 403), ("admin", "kind@9", 404), ("admin", "challenger-2", 404)):
        refused = {"messages": FIRST, "metadata": {"plaudit_force_arm": arm}}
        answer = testing.client.post("/v1/chat/completions", json=refused, headers=headers[who])
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["param"] == "plaudit_force_arm"
    arms = {item.conversation_id: item.arm for item in testing.logged() if len(item.conversation_id) == 2}
    assert arms == {"c1": None, "c2": "challenger", "c3": None, "c4": None, "c5": None}


def test_forcing_an_arm_needs_keys_to_be_required(served: Served) -> None:
    answer = served.chat(metadata={"plaudit_force_arm": "base"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")


def _turn(number: int, conversation: str, **more: Any) -> dict[str, Any]:
    return {
        "project": PROJECT, "response_id": f"chatcmpl-{number:06d}", "conversation_id": conversation, "user_key": "u",
        "created_at": float(number), "adapter": "base", "source": "gateway", "payload": b"", "content_hash": b"",
        **more,
    }  # fmt: skip


def _store_turn(database: Database, number: int, conversation: str, **more: Any) -> None:
    with database.transaction() as connection:
        connection.execute(interactions.insert().values(**_turn(number, conversation, **more)))


def test_what_memory_has_forgotten_the_store_knows(sqlite_database: Database) -> None:
    conversations = Conversations(sqlite_database, PROJECT, most=2)
    for number in range(3):
        conversations.remember("u", f"c{number}", Route("kind@1"))
    assert [conversations.first("u", f"c{number}") for number in range(3)] == [None, Route("kind@1"), Route("kind@1")]
    assert conversations.first("somebody else", "c1") is None
    conversations.first("u", "c1")
    conversations.remember("u", "c3", Route("base"))
    assert conversations.first("u", "c2") is None, "the least recently used one goes first"
    state = RoutingState(experiments=(experiment("e1", 0.5),))
    assert conversations.look_up("u", "c0", state) is None
    _store_turn(sqlite_database, 1, "c0", adapter="kind@1", experiment="e1", arm="challenger", propensity=0.5, phase=0)
    _store_turn(sqlite_database, 2, "c0", adapter="kind@1")
    _store_turn(sqlite_database, 3, "other")
    _store_turn(sqlite_database, 4, "c0", user_key="v")
    _store_turn(sqlite_database, 5, "c0", source="duel")  # one of two answers, by another adapter than the talk's
    assert conversations.look_up("u", "c0", state) == Route("kind@1")
    _store_turn(sqlite_database, 6, "c0", adapter="kind@1", experiment="e1", arm="challenger", propensity=0.5, phase=0)
    assert conversations.look_up("u", "c0", state) == Route("kind@1", "e1", "challenger")


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_the_look_up_walks_an_index(url: str, request: pytest.FixtureRequest) -> None:
    """Without one it would read every interaction of the project at each miss."""
    database: Database = request.getfixturevalue(f"{url}_database")
    rows = []
    for number in range(600):  # half of them in an experiment, whose arrivals have an index of their own
        rows.append(_turn(number, f"c{number}", user_key=f"u{number % 50}", experiment="e1" if number % 2 else None))
    with database.transaction() as connection:
        connection.execute(interactions.insert(), rows)
    for experiment_id in (None, "e1"):
        statement = conversation_turns(PROJECT, "u7", "c7", experiment_id)
        compiled = statement.compile(database.engine, compile_kwargs={"literal_binds": True})
        with database.transaction() as connection:
            if url == "postgres":
                connection.execute(text("ANALYZE interactions"))
                connection.execute(text("SET LOCAL enable_seqscan = off"))
                plan = " ".join(row[0] for row in connection.execute(text(f"EXPLAIN {compiled}")))
            else:
                plan = " ".join(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
        assert "ix_interactions_project_experiment_user_key" in plan, plan
        assert "Seq Scan" not in plan
        assert "response_id=?" in plan or url == "postgres", "rows by their primary key, one by one"
    with database.reading() as connection:
        found = ServingRepository(connection, PROJECT).last_of_conversation("u7", "c57", ["e1"])
    assert found == ("base", "e1", None)
