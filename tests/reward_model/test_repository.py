"""What stood in the store at an instant, on SQLite and PostgreSQL."""

import msgspec
import pytest

from infra.contracts import Answer, Interaction, Message
from infra.db import Database
from infra.db.tables import interactions, labels, pairs
from reward_model.repository import RewardModelRepository, instant_seconds, instant_text


def add_interaction(
    database: Database, response_id: str, texts: tuple[str, ...] = ("one",), project: str = "p"
) -> None:
    made = Interaction(
        project=project,
        response_id=response_id,
        conversation_id=f"c-{response_id}",
        created_at=5.0,
        messages=(Message("user", "why?"),),
        answers=tuple(Answer(i, text, "stop") for i, text in enumerate(texts)),
        user_key="ann",
        source="imported",
    )
    row = {
        "project": project,
        "response_id": response_id,
        "conversation_id": made.conversation_id,
        "user_key": made.user_key,
        "created_at": made.created_at,
        "adapter": made.adapter,
        "source": made.source,
        "payload": msgspec.msgpack.encode(made),
        "content_hash": b"12345678",
    }
    with database.transaction() as connection:
        connection.execute(interactions.insert().values(row))


def add_label(
    database: Database, response_id: str, version: int, made_at: float, love: float, project: str = "p"
) -> None:
    row = {
        "project": project,
        "response_id": response_id,
        "choice": 0,
        "version": version,
        "status": "final" if version else "provisional",
        "objective_values": {"love": love, "dwell": None},
        "weights": {"love": 1.0, "dwell": 0.0},
        "events_counted": 1,
        "config_hash": "h",
        "made_at": made_at,
        "window_closes_at": 50.0,
    }
    with database.transaction() as connection:
        connection.execute(labels.insert().values(row))


def add_pair(
    database: Database, pair_id: str, made_at: float, withdrawn_at: float | None = None, weight: float = 1.0
) -> None:
    row = {
        "project": "p",
        "pair_id": pair_id,
        "preferred_response_id": "a",
        "preferred_choice": 0,
        "other_response_id": "b",
        "other_choice": 1,
        "source": "duel",
        "user_key": "ann",
        "weight": weight,
        "made_at": made_at,
        "withdrawn_at": withdrawn_at,
    }
    with database.transaction() as connection:
        connection.execute(pairs.insert().values(row))


def test_the_greatest_version_made_by_then_holds(database: Database) -> None:
    add_label(database, "a", 0, 60.0, 0.5)
    add_label(database, "a", 1, 10.0, 0.0)
    add_label(database, "a", 2, 20.0, 1.0)
    add_label(database, "b", 0, 12.0, 1.0)
    add_label(database, "c", 1, 15.0, 1.0, project="other")
    with database.reading() as connection:
        repository = RewardModelRepository(connection, "p")

        def loves(instant: float, provisional: bool = False) -> dict[str, float | None]:
            found = repository.labels_as_of(instant, include_provisional=provisional, limit=10)
            return {row.key[0]: row.values["love"] for row in found}

        assert loves(5.0) == {}
        assert loves(15.0) == {"a": 0.0}
        assert loves(100.0) == {"a": 1.0}
        assert loves(100.0, provisional=True) == {"a": 1.0, "b": 1.0}
        assert repository.labels_as_of(100.0, include_provisional=False, limit=10)[0].values["dwell"] is None


def test_the_limit_keeps_the_newest(database: Database) -> None:
    for i in range(4):
        add_label(database, f"r{i}", 1, float(i), 1.0)
    with database.reading() as connection:
        found = RewardModelRepository(connection, "p").labels_as_of(9.0, include_provisional=False, limit=2)
    assert [row.key[0] for row in found] == ["r3", "r2"]


def test_withdrawn_pairs_stood_until_they_were_withdrawn(database: Database) -> None:
    add_pair(database, "stays", 10.0)
    add_pair(database, "goes", 11.0, withdrawn_at=20.0)
    add_pair(database, "weightless", 12.0, weight=0.0)
    with database.reading() as connection:
        repository = RewardModelRepository(connection, "p")
        assert [row.pair_id for row in repository.pairs_as_of(15.0, 10)] == ["goes", "stays"]
        assert [row.pair_id for row in repository.pairs_as_of(25.0, 10)] == ["stays"]
        assert repository.pairs_as_of(25.0, 10)[0].other == ("b", 1)


def test_answers_come_with_their_conversation(database: Database) -> None:
    add_interaction(database, "a", ("one", "two"))
    add_interaction(database, "a2")
    with database.reading() as connection:
        found = RewardModelRepository(connection, "p").answers([("a", 1), ("gone", 0)])
    assert [(row.key, row.text, row.user_key, row.origin) for row in found] == [(("a", 1), "two", "ann", "imported")]
    assert found[0].messages[0].content == "why?"


def test_many_answers_are_fetched_in_parts(sqlite_database: Database) -> None:
    for i in range(3):
        add_interaction(sqlite_database, f"r{i}")
    keys = [(f"r{i}", 0) for i in range(1203)]
    with sqlite_database.reading() as connection:
        assert len(RewardModelRepository(connection, "p").answers(keys)) == 3


def test_new_since_counts_answers_not_versions(database: Database) -> None:
    add_label(database, "a", 0, 9.0, 0.0)
    add_label(database, "a", 1, 10.0, 0.0)
    add_label(database, "a", 2, 20.0, 1.0)
    add_label(database, "b", 1, 30.0, 1.0)
    add_pair(database, "x", 20.0)
    with database.reading() as connection:
        repository = RewardModelRepository(connection, "p")
        assert repository.new_since(0.0, 40.0, include_provisional=False) == (2, 1)
        assert repository.new_since(20.0, 40.0, include_provisional=False) == (1, 0)
        assert repository.new_since(20.0, 25.0, include_provisional=False) == (0, 0)


def test_rows_of_reward_models(database: Database) -> None:
    row = {
        "name": "reward",
        "path": "/x",
        "base_model_hash": "b",
        "file_hashes": {"f": "h"},
        "metrics": {"heads": {}},
        "data_hash": "d",
        "labels_used": 3,
        "labels_as_of": instant_text(12.5),
        "run_id": "",
        "created_at": 13.0,
    }
    with database.transaction() as connection:
        repository = RewardModelRepository(connection, "p")
        assert repository.newest("reward") is None
        for version in (1, 2):
            repository.add({**row, "version": version})
    with database.reading() as connection:
        found = RewardModelRepository(connection, "p").newest("reward")
        assert found is not None
        assert found["version"] == 2
        assert instant_seconds(found["labels_as_of"]) == 12.5
        assert RewardModelRepository(connection, "q").newest("reward") is None


@pytest.mark.parametrize("seconds", [0.0, 1_700_000_000.123456, 1.9e9])
def test_instants_survive_their_text(seconds: float) -> None:
    text = instant_text(seconds)
    assert len(text) <= 32
    assert instant_seconds(text) == pytest.approx(seconds, abs=1e-6)
