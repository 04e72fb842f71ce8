"""One world for the tests of whole cycles: a store whose reward model is trained already, made once and copied."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.runtime import Context, JobContext, open_context
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings, ModelSettings
from infra.settings.policy_update import PolicyUpdateSettings
from infra.settings.reward_model import RewardModelSettings
from tests.fixtures.registry import lay_registry
from tests.fixtures.shared import made_once

World = Callable[[Path, PolicyUpdateSettings], Context]


def settings_in(folder: Path, model: Path, wanted: PolicyUpdateSettings) -> Settings:
    """A store in `folder` and a reward model of few labels."""
    return Settings(
        data_dir=folder / "data",
        event_log=EventLogSettings(replication_factor=1, session_timeout_seconds=6.0),
        model=ModelSettings(base=str(model), device="cpu", dtype="float32", threads=1),
        reward_model=RewardModelSettings(
            min_labels=40, min_pairs=20, min_positive=5, min_new_labels=10, folds=3, bootstrap=100, l2_grid=(0.01,),
            ensemble=2, thresholds=(10.0,), champion_rule="newest", cross_fit_min_labels=40, pictures=False,
        ),
        policy_update=wanted,
    )  # fmt: skip


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, registry_template: Path) -> Path:
    """A folder with 120 exchanges and reward@1, trained on them (treat as read-only)."""

    def teach(folder: Path) -> None:
        import torch

        from reward_model.jobs import run_reward_model
        from tests.reward_model.test_service import fill

        torch.set_num_threads(1)
        lay_registry(registry_template, folder / "data")
        context = open_context(settings_in(folder, tiny_model_dir, PolicyUpdateSettings()), ManualClock())
        fill(context, 120)
        assert "reward@1" in run_reward_model(JobContext(context)).detail
        context.close()

    return made_once(tmp_path_factory, "taught", teach)


@pytest.fixture(scope="session")
def world(taught: Path, tiny_model_dir: Path) -> Iterator[World]:
    """Opens a copy of the taught store in a folder of the test's own, under the settings it asks for."""
    opened: list[Context] = []

    def open_copy(folder: Path, wanted: PolicyUpdateSettings) -> Context:
        if not (folder / "data").exists():
            shutil.copytree(taught / "data", folder / "data")
        opened.append(open_context(settings_in(folder, tiny_model_dir, wanted), ManualClock()))
        return opened[-1]

    yield open_copy
    for context in opened:
        context.close()
