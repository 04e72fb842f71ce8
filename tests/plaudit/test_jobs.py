"""The registry job on a real store and a real MLflow: the projection follows the champion pointer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from infra.contracts import ManualClock
from infra.db.tables import adapters, reward_models, serving_state
from infra.registry import RegisteredRow, Registry
from infra.runtime import Context, JobContext, open_context
from infra.settings import Settings
from plaudit.jobs import PROJECTED, digest_of, registry_job
from plaudit.repository import rows_for_registry


@pytest.fixture
def context(settings: Settings, clock: ManualClock) -> Iterator[Context]:
    opened = open_context(settings, clock)
    yield opened
    opened.close()


def add_adapter(context: Context, version: int, state: str, project: str = "default") -> None:
    row = {"project": project, "name": "loop", "version": version, "path": f"/adapters/{project}/{version}"}
    row |= {"base_model_hash": "b" * 64, "file_hashes": {}, "fingerprint": {}, "state": state, "parent": "base"}
    row |= {"run_id": f"run-{version}", "lineage": {}, "gate": {}, "created_at": 1.0}
    with context.database.transaction() as connection:
        connection.execute(insert(adapters), row)


def add_reward_model(context: Context, version: int, state: str = "challenger") -> None:
    row = {"project": "default", "name": "reward", "version": version, "path": f"/rewards/{version}"}
    row |= {"base_model_hash": "b" * 64, "file_hashes": {}, "metrics": {}, "data_hash": "d" * 64, "labels_used": 9}
    row |= {"labels_as_of": "1.0", "run_id": "", "created_at": 1.0, "state": state}
    with context.database.transaction() as connection:
        connection.execute(insert(reward_models), row)


def point(context: Context, champion: str, last_proven: str) -> None:
    values = {"champion": champion, "last_proven": last_proven, "decision_id": "d", "updated_at": 2.0}
    with context.database.transaction() as connection:
        done = connection.execute(update(serving_state).values(**values))
        if done.rowcount == 0:
            connection.execute(insert(serving_state), {"project": "default", **values})


def test_rows_carry_the_aliases_that_follow_from_the_store(context: Context) -> None:
    add_adapter(context, 1, "retired")
    add_adapter(context, 2, "champion")
    add_adapter(context, 3, "challenger")
    add_adapter(context, 1, "champion", project="other")
    add_reward_model(context, 1, "champion")
    add_reward_model(context, 2)
    point(context, "loop@2", "loop@1")
    with context.database.reading() as connection:
        rows = rows_for_registry(connection, "default")
    assert {(row.name, row.version): row.aliases for row in rows} == {
        ("loop", 1): ("previous",),
        ("loop", 2): ("champion",),
        ("loop", 3): ("challenger",),
        ("reward", 1): ("champion",),
        ("reward", 2): ("newest",),
    }
    assert rows[0].tags["plaudit.ref"] == "loop@1"
    assert rows[0].tags["plaudit.run_id"] == "run-1"


def test_the_job_projects_skips_and_follows_a_promotion(context: Context) -> None:
    run = registry_job().run
    assert run(JobContext(context)).status == "skipped"
    add_adapter(context, 1, "champion")
    add_adapter(context, 2, "challenger")
    point(context, "loop@1", "base")
    assert run(JobContext(context)).status == "done"
    assert run(JobContext(context)).detail == "the registry says what the store says"

    point(context, "loop@2", "loop@1")
    with context.database.transaction() as connection:
        connection.execute(update(adapters).where(adapters.c.version == 2).values(state="champion"))
    assert run(JobContext(context)).status == "done"
    registry = Registry.open(context.settings, context.clock)
    try:
        assert registry.aliases("loop") == {"champion": 2, "previous": 1}
        assert set(registry.versions("loop")) == {"/adapters/default/1", "/adapters/default/2"}
    finally:
        registry.close()


def test_the_registry_takes_every_alias(context: Context) -> None:
    """Not all names are free: MLflow keeps `latest` to itself."""
    add_adapter(context, 1, "champion")
    add_adapter(context, 2, "challenger")
    add_reward_model(context, 1, "champion")
    add_reward_model(context, 2)
    point(context, "loop@1", "base")
    assert registry_job().run(JobContext(context)).status == "done"


def test_a_lost_registry_is_told_everything_again(context: Context) -> None:
    """The marker says that all has been told, but the file it was told to is gone."""
    add_adapter(context, 1, "champion")
    with context.database.reading() as connection:
        rows = rows_for_registry(connection, "default")
    uri = Registry.open(context.settings).tracking_uri
    (context.settings.data_dir / PROJECTED).write_text(digest_of(rows, uri))
    assert registry_job().run(JobContext(context)).status == "done"


def test_the_digest_knows_rows_and_not_their_order(tmp_path: Path) -> None:
    one, two = RegisteredRow("loop", 1, "/a", {"k": "v"}), RegisteredRow("loop", 2, "/b", {}, ("champion",))
    assert digest_of([one, two], "uri") == digest_of([two, one], "uri")
    assert digest_of([one], "uri") != digest_of([one, two], "uri")
    moved = RegisteredRow("loop", 1, "/a", {"k": "v"}, ("champion",))
    assert digest_of([one], "uri") != digest_of([moved], "uri")
