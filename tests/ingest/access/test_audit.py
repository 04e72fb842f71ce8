"""The audit trail is complete, in order, and shows when somebody changed it."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import delete, update

from infra.db.tables import audit_entries
from infra.runtime import Context
from ingest.access import audit
from ingest.access.audit import GENESIS, AuditTampered, canonical, hash_of
from ingest.access.repository import AuditRepository
from ingest.access.service import audit_trail

COLUMNS = audit_entries.columns


def fill(context: Context, count: int = 5) -> None:
    for number in range(count):
        with context.database.transaction() as connection:
            audit.record(connection, "ops", "test.done", {"number": number}, project="default", at=float(number))


def test_entries_follow_from_each_other(context: Context) -> None:
    fill(context)
    trail = audit_trail(context)
    assert [entry.sequence for entry in trail] == [1, 2, 3, 4, 5]
    assert [entry.detail["number"] for entry in trail] == [0, 1, 2, 3, 4]
    assert trail[0].previous_hash == GENESIS
    assert all(after.previous_hash == before.hash for before, after in pairwise(trail))
    text = (
        '{"action":"test.done","actor":"ops","at":0.0,"detail":{"number":0.0},"previous_hash":"' + GENESIS + '",'
        '"project":"default","sequence":1.0}'
    )
    assert trail[0].hash == hashlib.sha256(text.encode()).hexdigest() == hash_of(trail[0])


@pytest.mark.parametrize(
    ("change", "values"),
    [("update", {"actor": "nobody"}), ("update", {"at": 9.0}), ("update", {"detail": {}}), ("delete", {})],
)
def test_a_changed_or_missing_entry_shows(context: Context, change: str, values: dict[str, Any]) -> None:
    fill(context)
    third = COLUMNS.sequence == 3
    with context.database.transaction() as connection:
        statement = delete(audit_entries) if change == "delete" else update(audit_entries).values(**values)
        connection.execute(statement.where(third))
    with pytest.raises(AuditTampered, match=r"entry [34] "):
        audit_trail(context)


def test_lists_are_filtered_and_cut(context: Context) -> None:
    fill(context)
    with context.database.transaction() as connection:
        audit.record(connection, "ops", "key.created", {}, project="default", at=9.0)
        audit.record(connection, "ops", "key.created", {}, project="other", at=9.0)
    assert [entry.sequence for entry in audit_trail(context, "key")] == [6]
    assert [entry.sequence for entry in audit_trail(context, "key.created")] == [6]
    assert audit_trail(context, "ke") == []
    assert [entry.sequence for entry in audit_trail(context, limit=2)] == [5, 6]


def test_several_at_once_make_one_chain(context: Context) -> None:
    def one(number: int) -> None:
        with context.database.transaction() as connection:
            audit.record(connection, "ops", "test.done", {"number": number}, project="default", at=0.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(24)))
    assert sorted(entry.detail["number"] for entry in audit_trail(context)) == list(range(24))


def test_an_act_that_fails_leaves_no_entry(context: Context) -> None:
    def fail() -> None:
        with context.database.transaction() as connection:
            audit.record(connection, "ops", "test.done", {}, project="default", at=0.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with context.database.reading() as connection:
        assert AuditRepository(connection, "default").last() is None


def test_canonical_text_is_the_same_for_numbers_of_either_kind() -> None:
    assert canonical({"b": 1, "a": [True, None, "x", 2.0]}) == '{"a":[true,null,"x",2.0],"b":1.0}'
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))
