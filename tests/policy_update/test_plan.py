"""What a policy update begins from when somebody was erased."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import insert, update

from infra.contracts import AdapterVersion, Answer, Fingerprint, Interaction, Message
from infra.db.tables import adapters, experiments, interactions, labels, reward_models, serving_state, taints
from infra.settings import Settings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update import repository
from policy_update.plan import TrainingPlan, make_plan
from policy_update.prompts import Reference

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


def test_a_prompt_file_comes_first_and_brings_references(
    sqlite_database: "Database", ready: Settings, tmp_path: Path
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "What is 2 + 2?", "answer": 4}\n', encoding="utf-8")
    wanted = ready.policy_update.model_copy(update={"prompt_file": str(tmp_path / "prompts.jsonl"), "max_prompts": 20})
    made = plan(sqlite_database, ready.model_copy(update={"policy_update": wanted}))
    assert isinstance(made, TrainingPlan)
    asked = (Message("user", "What is 2 + 2?"),)
    assert made.prompts.references == {asked: Reference(answer="4")}
    assert asked in {*made.prompts.training, *made.prompts.held_out}
    assert len(made.prompts) == 20
    assert (made.prompts.since, made.prompts.until) == (21.0, 39.0), "the newest nineteen of forty"


def test_only_the_first_of_a_cycle_holds_the_loop(sqlite_database: "Database", ready: Settings) -> None:
    """The first meets people and training waits; once it is decided, the others wait beside a training."""
    cycle = {"reward_model": "reward@1", "cycle": "2"}
    with sqlite_database.transaction() as connection:
        for version in (2, 3):
            repository.add_adapter(connection, _adapter(version, "challenger", cycle))
        connection.execute(
            insert(experiments).values(
                project="default", experiment_id="exp-1", challenger="loop@2", control="loop@1", salt="s",
                status="running", phases=[], started_at=1.0, config={}, kind="challenge", others=[], slot=[0.0, 1.0],
            )
        )  # fmt: skip
    assert plan(sqlite_database, ready) == "experiment exp-1 is running; its challenger comes first"
    with sqlite_database.transaction() as connection:
        connection.execute(update(experiments).values(status="rolled_back"))
    assert plan(sqlite_database, ready) == "challenger loop@2 is waiting for its experiment"
    with sqlite_database.transaction() as connection:
        connection.execute(update(adapters).where(adapters.c.version == 2).values(state="rejected"))
        connection.execute(update(experiments).values(status="running", challenger="loop@3"))
    made = plan(sqlite_database, ready)
    assert isinstance(made, TrainingPlan)
    assert (made.version, made.turn) == (4, 3)


@pytest.mark.parametrize(("setting", "what"), [("new_prompts", "interactions"), ("new_labels", "final labels")])
def test_news_enough_trains_against_the_same_reward_model_again(
    sqlite_database: "Database", ready: Settings, setting: str, what: str
) -> None:
    def asked(number: int) -> TrainingPlan | str:
        wanted = ready.policy_update.model_copy(update={setting: number})
        return plan(sqlite_database, ready.model_copy(update={"policy_update": wanted}))

    with sqlite_database.transaction() as connection:
        repository.add_adapter(connection, _adapter(2, "refused", {"reward_model": "reward@2"}, created_at=29.0))
        for number in range(25, 40):
            for version in (0, 1, 2):
                _add_label(connection, number, version)
    already = "an adapter has already been trained against reward@2; waiting for a better reward model"
    assert asked(0) == already
    # Interactions and labels made after 29.0: of 30, 31, ..., 39.
    assert asked(11) == f"{already} or 1 more {what}"
    made = asked(10)
    assert isinstance(made, TrainingPlan)
    assert made.trigger == f"10 new {what}"


def _adapter(version: int, state: str, lineage: dict[str, str], created_at: float = 1.0) -> AdapterVersion:
    return AdapterVersion(
        project="default",
        name="loop",
        version=version,
        path=f"adapters/loop/{version}",
        base_model_hash="b",
        file_hashes={},
        fingerprint=Fingerprint("h", ((-1.0,),), 0.0),
        state=state,  # type: ignore[arg-type]
        parent="loop@1",
        created_at=created_at,
        lineage=lineage,
    )


def _add_label(connection: "Connection", number: int, version: int) -> None:
    connection.execute(
        insert(labels).values(
            project="default", response_id=f"r{number}", choice=0, version=version,
            status="final" if version else "provisional", objective_values={}, weights={}, events_counted=0,
            config_hash="c", made_at=float(number), window_closes_at=0.0,
        )
    )  # fmt: skip


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
