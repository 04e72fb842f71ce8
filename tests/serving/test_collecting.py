"""Retention of weights: never of anything that may be served again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from infra.contracts import AdapterVersion, ManualClock
from infra.db.tables import adapter_proofs, adapters, experiments
from infra.models.errors import AdapterRefused
from infra.models.lora import COLLECTED_FILE, WEIGHTS_FILE, verify_files
from infra.runtime import Context, JobContext
from infra.settings.retention import RetentionSettings
from serving.collecting import run_adapter_retention
from tests.serving.conftest import PROJECT, set_champion, start_experiment

DAY = 86_400.0


@pytest.fixture
def job(context: Context) -> JobContext:
    """At 100 days, with pinned `kind@7` and 30 days of patience."""
    serving = context.settings.serving.model_copy(update={"pinned_adapters": ("kind@7",)})
    retention = RetentionSettings(adapter_seconds=30 * DAY)
    settings = context.settings.model_copy(update={"serving": serving, "retention": retention})
    return JobContext(Context(settings, ManualClock(100 * DAY), context.database, context.event_log))


def test_only_what_nobody_will_serve_again_is_removed(
    job: JobContext, make_adapter: Callable[..., AdapterVersion]
) -> None:
    states = {
        1: "retired", 2: "retired", 3: "rejected", 4: "retired", 5: "refused", 6: "challenger", 7: "retired",
        8: "retired", 9: "retired",
    }  # fmt: skip
    made = {
        version: make_adapter("kind", version, seed=version, state=state, created_at=90 * DAY if version == 9 else DAY)
        for version, state in states.items()
    }
    set_champion(job.database, "kind@1", "kind@2")
    start_experiment(job.database, "kind@4", control="kind@1")
    with job.database.transaction() as connection:
        row = {"project": PROJECT, "replica": "r1", "adapter": "kind@8", "status": "proven"}
        connection.execute(adapter_proofs.insert().values(**row, detail={}, proved_at=1.0))
    outcome = run_adapter_retention(job)
    gone = {version for version, adapter in made.items() if not (Path(adapter.path) / WEIGHTS_FILE).exists()}
    assert gone == {3, 5}, "champion, predecessor, arm, challenger, pinned, proven and young ones stay"
    assert outcome.detail.startswith("weights of 2 adapters removed")
    assert [path.name for path in Path(made[3].path).iterdir()] == [COLLECTED_FILE]
    with pytest.raises(AdapterRefused, match="retention has removed") as refused:
        verify_files(Path(made[3].path), made[3].file_hashes)
    assert refused.value.code == "adapter_missing"
    assert run_adapter_retention(job).detail.startswith("weights of 0 adapters")


def test_an_arm_counts_until_its_experiment_has_ended(
    job: JobContext, make_adapter: Callable[..., AdapterVersion]
) -> None:
    folder = Path(make_adapter("kind", 1, state="rejected", created_at=DAY).path)
    experiment = start_experiment(job.database, "kind@1")
    run_adapter_retention(job)
    assert (folder / WEIGHTS_FILE).exists()
    with job.database.transaction() as connection:
        ended = update(experiments).where(experiments.c.experiment_id == experiment.experiment_id)
        connection.execute(ended.values(status="stopped", ended_at=50 * DAY))
        connection.execute(update(adapters).values(state="rejected"))
    run_adapter_retention(job)
    assert not (folder / WEIGHTS_FILE).exists()


def test_without_an_age_nothing_goes(context: Context) -> None:
    assert run_adapter_retention(JobContext(context)).status == "skipped"
