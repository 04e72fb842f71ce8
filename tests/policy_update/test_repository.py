from typing import TYPE_CHECKING

import pytest

from infra.contracts import AdapterVersion, Fingerprint
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
