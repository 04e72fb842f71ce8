"""Rows by a list of keys: the same as by IN, on both stores."""

from typing import Any

import pytest
from sqlalchemy import select

from infra.db import Database, rows_by_keys
from infra.db.tables import exposures, interactions

KEYS = ["u3", "u1", "u3", "nobody", "it's"]


def _answer(number: int, user: str | None, experiment: str | None, project: str = "demo") -> dict[str, Any]:
    return {
        "project": project, "response_id": f"r{number}", "conversation_id": "c", "user_key": user,
        "created_at": float(number), "adapter": "base", "experiment": experiment, "source": "gateway",
        "payload": b"", "content_hash": b"",
    }  # fmt: skip


@pytest.fixture
def filled(database: Database) -> Database:
    users = ("u1", "u2", "u3", None, "it's")
    rows = [_answer(number, users[number % 5], ("e1", None)[number % 2]) for number in range(20)]
    with database.transaction() as connection:
        connection.execute(interactions.insert(), [*rows, _answer(0, "u1", "e1", project="other")])
        connection.execute(
            exposures.insert(),
            [
                {"project": "demo", "experiment_id": "e1", "user_key": f"u{k}", "arm": "control", "propensity": 0.5,
                 "phase": 0, "arms_seen": 1, "first_at": 0.0, "stage": 0}
                for k in range(5)
            ],
        )  # fmt: skip
    return database


@pytest.mark.parametrize("experiment", ["e1", None])
def test_as_many_rows_as_by_in(filled: Database, experiment: str | None) -> None:
    c = interactions.c
    here = (c.project == "demo", c.experiment == experiment, c.user_key.in_(KEYS), c.created_at >= 4.0)
    with filled.reading() as connection:
        expected = sorted(connection.execute(select(c.user_key, c.created_at).where(*here)))
        fixed = {"project": "demo", "experiment": experiment}
        rows = rows_by_keys(connection, [c.user_key, c.created_at], c.user_key, KEYS, fixed, c.created_at >= 4.0)
    assert sorted((row.user_key, row.created_at) for row in rows) == expected
    assert {row[0] for row in expected} == {"u1", "u3", "it's"}


def test_by_a_primary_key(filled: Database) -> None:
    e, i = exposures.c, interactions.c
    with filled.reading() as connection:
        people = rows_by_keys(connection, [e.stage], e.user_key, KEYS, {"project": "demo", "experiment_id": "e1"})
        answers = rows_by_keys(connection, [i.response_id], i.response_id, ["r1", "r9", "r99"], {"project": "demo"})
        assert rows_by_keys(connection, [e.stage], e.user_key, [], {"project": "demo"}) == []
    assert sorted(row.found_by for row in people) == ["u1", "u3"]
    assert sorted(row.response_id for row in answers) == ["r1", "r9"]
