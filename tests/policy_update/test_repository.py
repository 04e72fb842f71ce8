from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import insert

from infra.contracts import AdapterVersion, Answer, Fingerprint, Interaction, Message
from infra.db.tables import interactions, taints
from policy_update import repository

if TYPE_CHECKING:
    from infra.db import Database


@pytest.mark.parametrize(
    ("state", "counts"), [("candidate", False), ("refused", True), ("challenger", True), ("champion", True)]
)
def test_only_what_came_before_the_gate_counts_as_trained(
    sqlite_database: "Database", state: str, counts: bool
) -> None:
    """A candidate without a verdict is the leftover of a killed training: waiting for it would be for ever."""
    adapter = AdapterVersion(
        project="p",
        name="loop",
        version=1,
        path="somewhere",
        base_model_hash="b",
        file_hashes={},
        fingerprint=Fingerprint("h", ((-1.0,),), 0.0),
        state=state,  # type: ignore[arg-type]
        parent="base",
        created_at=1.0,
        lineage={"reward_model": "reward@1"},
    )
    with sqlite_database.transaction() as connection:
        repository.add_adapter(connection, adapter)
    with sqlite_database.reading() as connection:
        assert repository.trained_with(connection, "p", "reward@1") is counts
        assert not repository.trained_with(connection, "p", "reward@2")
        assert repository.next_version(connection, "p", "loop") == 2


def test_answers_of_a_tainted_adapter_are_not_learned_from(sqlite_database: "Database") -> None:
    with sqlite_database.transaction() as connection:
        for number, adapter in enumerate(("base", "loop@1", "loop@11", "loop@1")):
            made = Interaction(
                project="p",
                response_id=f"r{number}",
                conversation_id="c",
                created_at=float(number),
                messages=(Message("user", "Why?"),),
                answers=(Answer(0, "So.", "stop"),),
                adapter=adapter,
                source="imported" if number == 0 else "gateway",
            )
            connection.execute(
                insert(interactions).values(
                    project="p", response_id=made.response_id, conversation_id="c", created_at=made.created_at,
                    adapter=adapter, source=made.source, payload=msgspec.msgpack.encode(made), content_hash=b"h",
                )
            )  # fmt: skip

    def found(limit: int = 9) -> list[str]:
        with sqlite_database.reading() as connection:
            return [one.response_id for one in repository.logged_interactions(connection, "p", limit)]

    assert found() == ["r3", "r2", "r1"]
    assert found(1) == ["r3"]
    with sqlite_database.transaction() as connection:
        connection.execute(
            insert(taints).values(
                project="p", kind="adapter", name="loop", version=1, erasure_id="e", reason="r", tainted_at=2.0
            )
        )
    assert found() == ["r2"]


def test_the_chain_ends_at_the_base_and_never_runs_in_a_circle(sqlite_database: "Database") -> None:
    parents = {1: "base", 2: "loop@1", 3: "loop@2", 7: "loop@6", 8: "loop@9", 9: "loop@8"}
    with sqlite_database.transaction() as connection:
        for version, parent in parents.items():
            adapter = AdapterVersion(
                project="p", name="loop", version=version, path="x", base_model_hash="b", file_hashes={},
                fingerprint=Fingerprint("h", ((-1.0,),), 0.0), state="retired", parent=parent, created_at=1.0,
                lineage={"cycle": "8"} if version > 7 else {},
            )  # fmt: skip
            repository.add_adapter(connection, adapter)

    def chain(ref: str) -> list[int]:
        with sqlite_database.reading() as connection:
            return [row["version"] for row in repository.chain_to_base(connection, "p", ref)]

    assert chain("base") == []
    assert chain("loop@3") == [3, 2, 1]
    assert chain("loop@7") == [7], "its parent's row is gone"
    assert chain("loop@9") == [9, 8]
    with sqlite_database.reading() as connection:
        assert repository.cycles(connection, "p", "loop") == 5
