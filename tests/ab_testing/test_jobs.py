"""The job: its outcome in words, its lease asked before every write, its gauges."""

import pytest

from ab_testing.jobs import JOBS, run_decide
from ab_testing.telemetry import refresh_experiment_metrics
from infra.metrics.catalogue import REGISTRY
from infra.runtime import JobContext
from tests.ab_testing.world import World


def test_skipped_then_started_then_held(small_world: World) -> None:
    job = JobContext(small_world.context)
    assert run_decide(job).status == "skipped"
    adapter = small_world.add_adapter()
    small_world.consumed()
    started = run_decide(job)
    assert (started.status, started.detail) == ("done", f"start: {adapter} against base at share 0.5")
    assert run_decide(job).detail.startswith("hold: no replica has proven")
    refresh_experiment_metrics(small_world.context)
    assert REGISTRY.get_sample_value("plaudit_experiment_challenger_share") == 0.5
    assert REGISTRY.get_sample_value("plaudit_experiment_running") == 1.0


def test_a_lost_lease_writes_nothing(small_world: World) -> None:
    def lost(_connection: object) -> None:
        raise RuntimeError("lease lost")

    with pytest.raises(RuntimeError, match="lease lost"):
        run_decide(JobContext(small_world.context, confirm=lost))
    with small_world.database.reading() as connection:
        from ab_testing.repository import ExperimentRepository

        assert ExperimentRepository(connection, small_world.project).champion() is None


def test_declared_once() -> None:
    (job,) = JOBS
    assert job.name == "decide"
    assert not job.child
