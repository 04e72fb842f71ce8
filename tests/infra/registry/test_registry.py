"""Runs and versions, read back through MLflow's own client rather than through our wrapper."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.registry import Registry, RegistryUnavailable
from infra.registry.backend import connect
from tests.infra.registry.conftest import START, registry_at


def test_a_registry_that_answers_is_healthy(registry: Registry) -> None:
    assert registry.healthy() is None


def test_a_run_keeps_params_metrics_tags_and_artifacts(registry: Registry, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "adapter.bin").write_bytes(b"\x01\x02")
    with registry.run("policy_update", "loop@1", {"rate": 1e-4}, {"parent": "base"}) as run:
        run.log_metrics({"reward": 0.25, "loss": None, "kl": float("nan")}, step=1)
        run.log_metrics({"reward": 0.75}, step=2)
        run.log_artifact_dir(weights, "adapter")

    client, _ = connect(registry.tracking_uri, "plaudit", tmp_path)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.start_time == int(START * 1000)
    assert found.data.params == {"rate": "0.0001"}
    assert found.data.tags["plaudit.kind"] == "policy_update"
    assert found.data.tags["parent"] == "base"
    assert [(m.step, m.value) for m in client.get_metric_history(run.run_id, "reward")] == [(1, 0.25), (2, 0.75)]
    assert set(found.data.metrics) == {"reward"}, "what was not measured is not a number"
    copied = Path(client.download_artifacts(run.run_id, "adapter/adapter.bin", str(tmp_path)))
    assert copied.read_bytes() == b"\x01\x02"


def test_a_failed_run_says_why(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no gradient"), registry.run("policy_update", "loop@2") as run:
        raise ValueError("no gradient")
    found = connect(registry.tracking_uri, "plaudit", tmp_path)[0].get_run(run.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["plaudit.error"] == "ValueError: no gradient"


def test_a_folder_is_filed_once(registry: Registry, tmp_path: Path) -> None:
    with registry.run("policy_update", "loop@1") as run:
        first = registry.register_version("loop", run, tmp_path / "v1", {"ref": "loop@1"})
        second = registry.register_version("loop", run, tmp_path / "v2", {"ref": "loop@2"})
        again = registry.register_version("loop", run, tmp_path / "v1", {"ref": "loop@1"})
    assert (first, second, again) == (1, 2, 1)
    client, _ = connect(registry.tracking_uri, "plaudit", tmp_path)
    version = client.get_model_version("default.loop", "2")
    assert version.run_id == run.run_id
    assert version.tags == {"ref": "loop@2"}
    assert version.source == str(tmp_path / "v2")


def test_projects_do_not_meet(registry: Registry, tmp_path: Path) -> None:
    other = registry_at(tmp_path, project="other")
    registry.register_version("loop", None, tmp_path / "a")
    assert other.versions("loop") == {}
    assert other.register_version("loop", None, tmp_path / "b") == 1


def test_aliases_move_and_go(registry: Registry, tmp_path: Path) -> None:
    registry.register_version("loop", None, tmp_path / "v1")
    registry.register_version("loop", None, tmp_path / "v2")
    registry.set_alias("loop", "champion", 1)
    registry.set_alias("loop", "champion", 2)
    assert registry.aliases("loop") == {"champion": 2}
    registry.delete_alias("loop", "champion")
    registry.delete_alias("loop", "champion")
    assert registry.aliases("loop") == {}


def test_long_values_are_cut_not_refused(registry: Registry, tmp_path: Path) -> None:
    with registry.run("reward_model", "reward@1", {"config": "x" * 20_000}, {"note": "y" * 20_000}) as run:
        pass
    found = connect(registry.tracking_uri, "plaudit", tmp_path)[0].get_run(run.run_id)
    assert len(found.data.params["config"]) == 5_000
    assert found.data.params["config"].endswith("…")


def test_an_unreachable_registry_is_said_and_kills_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    lost = Registry(f"sqlite:///{tmp_path}/file/mlflow.sqlite3", "plaudit", tmp_path, "default", ManualClock())
    assert "registry.tracking_uri" in (lost.healthy() or "")
    with pytest.raises(RegistryUnavailable):
        lost.versions("loop")
    with lost.run("reward_model", "reward@1", {"rate": 1}) as run:
        run.log_metrics({"accuracy": 0.6})
        run.log_artifact_dir(tmp_path)
    assert run.run_id == ""
    assert "unrecorded" in caplog.text


def test_a_registry_lost_in_mid_run_kills_no_run(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with registry.run("reward_model", "reward@1") as run:
        run.log_artifact_dir(tmp_path / "missing")
        run.log_metrics({"accuracy": 0.5})
    assert "registry lost artifacts" in caplog.text
    found = connect(registry.tracking_uri, "plaudit", tmp_path)[0].get_run(run.run_id)
    assert found.data.metrics == {"accuracy": 0.5}


def test_child_processes_and_parent_share_one_file(make_registry: Callable[[], Registry], tmp_path: Path) -> None:
    """Three children log 40 metrics each while the parent logs too: every point arrives, nobody sees `locked`."""
    script = (
        "import sys; from pathlib import Path; from tests.infra.registry.conftest import registry_at\n"
        "registry = registry_at(Path(sys.argv[1]))\n"
        "with registry.run('drill', sys.argv[2]) as run:\n"
        "    [run.log_metrics({'x': step}, step) for step in range(40)]\n"
        "registry.register_version('loop', run, f'{sys.argv[1]}/{sys.argv[2]}')\n"
        "print(run.run_id)\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), f"child-{i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    registry = make_registry()
    with registry.run("drill", "parent") as run:
        for step in range(40):
            run.log_metrics({"x": step}, step)
    outputs = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    client, _ = connect(registry.tracking_uri, "plaudit", tmp_path)
    for run_id in [run.run_id, *(stdout.strip() for stdout, _ in outputs)]:
        assert [m.value for m in client.get_metric_history(run_id, "x")] == list(map(float, range(40)))
    assert sorted(registry.versions("loop").values()) == [1, 2, 3]
    assert not any("lost" in stderr or "locked" in stderr for _, stderr in outputs)
