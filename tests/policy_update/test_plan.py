"""What a policy update begins from when somebody was erased."""

from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import insert

from infra.contracts import AdapterVersion, Answer, Fingerprint, Interaction, Message
from infra.db.tables import interactions, reward_models, serving_state, taints
from infra.settings import Settings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update import repository
from policy_update.plan import TrainingPlan, make_plan

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from infra.db import Database


@pytest.fixture
def ready(sqlite_database: "Database", settings: Settings) -> Settings:
    """A champion, a newer reward model, and prompts enough."""
    settings = settings.model_copy(update={"policy_update": PolicyUpdateSettings(min_prompts=8)})
    champion = AdapterVersion(
        project="default",
        name="loop",
        version=1,
        path="adapters/loop/1",
        base_model_hash="b",
        file_hashes={},
        fingerprint=Fingerprint("h", ((-1.0,),), 0.0),
        state="champion",
        parent="base",
        created_at=1.0,
        lineage={"reward_model": "reward@1"},
    )
    with sqlite_database.transaction() as connection:
        repository.add_adapter(connection, champion)
        connection.execute(
            insert(serving_state).values(
                project="default", champion="loop@1", last_proven="base", decision_id="d", updated_at=1.0
            )
        )
        for version, state in ((1, "former"), (2, "champion"), (3, "challenger")):
            _add_reward_model(connection, version, state)
        for number in range(40):
            _add_interaction(connection, number)
    return settings


def plan(database: "Database", settings: Settings) -> TrainingPlan | str:
    with database.reading() as connection:
        return make_plan(connection, settings)


def taint(database: "Database", kind: str, name: str, version: int) -> None:
    with database.transaction() as connection:
        connection.execute(
            insert(taints).values(
                project="default", kind=kind, name=name, version=version, erasure_id="e", reason="r", tainted_at=2.0
            )
        )


def test_without_taint_the_champion_is_trained_on(sqlite_database: "Database", ready: Settings) -> None:
    made = plan(sqlite_database, ready)
    assert isinstance(made, TrainingPlan)
    assert (made.champion, made.reward_model) == ("loop@1", "reward@2")


def test_a_tainted_champion_is_left_for_the_base(sqlite_database: "Database", ready: Settings) -> None:
    taint(sqlite_database, "adapter", "loop", 1)
    made = plan(sqlite_database, ready)
    assert isinstance(made, TrainingPlan)
    assert (made.champion, made.champion_path, made.ref) == ("base", None, "loop@2")


def test_a_tainted_reward_model_teaches_nobody(sqlite_database: "Database", ready: Settings) -> None:
    taint(sqlite_database, "reward_model", "reward", 1)
    assert isinstance(plan(sqlite_database, ready), TrainingPlan), "an older one is nobody's concern"
    taint(sqlite_database, "reward_model", "reward", 2)
    assert plan(sqlite_database, ready) == "reward@2 learned from a person who was erased; waiting for a clean one"


def test_the_champion_teaches_not_the_newest(sqlite_database: "Database", ready: Settings) -> None:
    with sqlite_database.transaction() as connection:
        connection.execute(reward_models.delete().where(reward_models.c.state == "champion"))
    said = plan(sqlite_database, ready)
    assert said == (
        "no reward model is good enough to train against; the newest, reward@3: not shown to be better than chance"
    )
    with sqlite_database.transaction() as connection:
        connection.execute(reward_models.delete())
    assert plan(sqlite_database, ready) == "no reward model has been trained yet"


def _add_reward_model(connection: "Connection", version: int, state: str) -> None:
    connection.execute(
        insert(reward_models).values(
            project="default",
            name="reward",
            version=version,
            path="somewhere",
            base_model_hash="b",
            file_hashes={},
            metrics={"champion": {"reason": "not shown to be better than chance"}},
            data_hash="d",
            labels_used=1,
            labels_as_of="2023-01-01T00:00:00+00:00",
            run_id="",
            created_at=float(version),
            state=state,
        )
    )


def _add_interaction(connection: "Connection", number: int) -> None:
    made = Interaction(
        project="default",
        response_id=f"r{number}",
        conversation_id=f"c{number}",
        created_at=float(number),
        messages=(Message("user", f"What about {number}?"),),
        answers=(Answer(0, "That.", "stop"),),
    )
    connection.execute(
        insert(interactions).values(
            project="default",
            response_id=made.response_id,
            conversation_id=made.conversation_id,
            created_at=made.created_at,
            adapter="base",
            source="gateway",
            payload=msgspec.msgpack.encode(made),
            content_hash=b"12345678",
        )
    )
