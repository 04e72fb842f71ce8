"""Champions and challengers, trainings that die, and stores that say too little: through the declared job."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import RowMapping, insert, select, update

from infra.contracts import ManualClock
from infra.db.tables import labels, pairs, reward_models, taints
from infra.runtime import Context, JobContext, open_context
from infra.settings import Settings
from infra.settings.infrastructure import ModelSettings
from infra.settings.reward_model import RewardModelSettings
from reward_model.files import read_folder
from reward_model.jobs import run_reward_model
from reward_model.resume import ATTEMPT_FILE
from reward_model.saving import NoSpaceLeft
from reward_model.scoring import NoHalves, RewardModel
from reward_model.service import reason_to_wait, train, versions_folder
from tests.reward_model.test_service import EXCHANGES, fill


@pytest.fixture
def context(settings_with_registry: Settings, clock: ManualClock, tiny_model_dir: Path) -> Iterator[Context]:
    wanted = RewardModelSettings(
        min_labels=40, min_pairs=20, min_positive=5, min_new_labels=10, folds=3, bootstrap=100, l2_grid=(0.01,),
        ensemble=2, thresholds=(10.0,), champion_min_people=4, champion_min_judgments=10, cross_fit_min_labels=60,
        pictures=False,
    )  # fmt: skip
    model = ModelSettings(base=str(tiny_model_dir), device="cpu", dtype="float32", threads=1)
    changes = {"reward_model": wanted, "model": model}
    opened = open_context(settings_with_registry.model_copy(update=changes), clock)
    torch.set_num_threads(1)
    yield opened
    opened.close()


def rows(context: Context) -> list[RowMapping]:
    with context.database.reading() as connection:
        return list(connection.execute(select(reward_models).order_by(reward_models.c.version)).mappings())


def states(context: Context) -> list[str]:
    return [str(row["state"]) for row in rows(context)]


def run(context: Context) -> str:
    return run_reward_model(JobContext(context)).detail


class Died(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def dying_at(words: str) -> Callable[[float, str], None]:
    def progress(_share: float, text: str) -> None:
        if words in text:
            raise Died

    return progress


def test_a_life_of_versions(context: Context, clock: ManualClock) -> None:
    """The first beats chance, an equal one stays a challenger and says why, an erased person's is replaced."""
    fill(context, EXCHANGES)
    run(context)
    assert states(context) == ["champion"]

    fill(context, 40, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)
    said = run(context)
    assert states(context) == ["champion", "challenger"]
    assert "reward@2 is a challenger: against reward@1" in said
    first, second = rows(context)
    assert second["metrics"]["champion"]["promoted"] is False
    assert second["metrics"]["champion"]["judgments"] > 40
    assert second["promoted_at"] is None
    assert second["metrics"]["anchors"]["drift"]["utility"]["correlation"] > 0.5
    assert second["metrics"]["evaluation"]["disagreement"]["rank_correlation"]["estimate"] > 0.5

    with context.database.transaction() as connection:
        for version in (1, 2):
            taint = {"project": "default", "kind": "reward_model", "name": "reward", "version": version}
            connection.execute(insert(taints).values(**taint, erasure_id="e", reason="r", tainted_at=clock.now()))
    clock.advance(1.0)
    said = run(context)
    assert states(context) == ["former", "challenger", "champion"]
    assert "reward@1 learned from a person who was erased" in said
    assert first["promoted_at"] < rows(context)[2]["promoted_at"]
    assert reason_to_wait(context, clock.now()) is not None


def test_a_model_that_beats_nothing_becomes_no_champion(context: Context) -> None:
    """Votes by lot: a version is kept, and policies have none to be trained against."""
    fill(context, EXCHANGES)
    draw = np.random.default_rng(0)
    with context.database.transaction() as connection:
        for row in connection.execute(select(labels.c.response_id, labels.c.choice)).all():
            here = (labels.c.response_id == row.response_id) & (labels.c.choice == row.choice)
            lot = float(draw.integers(2))
            connection.execute(update(labels).where(here).values(objective_values={"love": lot}))
        connection.execute(pairs.delete())
    said = run(context)
    assert states(context) == ["challenger"]
    assert "reward@1 is a challenger: against chance" in said


@pytest.mark.parametrize(
    "moment", [pytest.param("features of", marks=pytest.mark.full), "halves of the people", "recording"]
)
def test_a_death_at_any_stage_changes_nothing_and_is_made_good(
    context: Context, clock: ManualClock, moment: str
) -> None:
    fill(context, EXCHANGES)
    before = clock.now()
    with pytest.raises(Died):
        train(context, dying_at(moment))
    assert rows(context) == []
    assert (versions_folder(context.settings) / ATTEMPT_FILE).exists()
    fill(context, 30, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)
    run(context)
    (row,) = rows(context)
    assert row["labels_used"] == 2 * EXCHANGES, "of the instant at which the training that died began"
    assert row["labels_as_of"].startswith("2023-11-14T22:13:20")
    assert before < row["created_at"]
    leftovers = sorted(path.name for path in versions_folder(context.settings).iterdir())
    assert leftovers == ["1"]


def test_one_class_is_said_and_the_champion_stays(context: Context, clock: ManualClock) -> None:
    fill(context, EXCHANGES)
    run(context)
    assert states(context) == ["champion"]
    fill(context, 40, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)
    with context.database.transaction() as connection:
        connection.execute(update(labels).values(objective_values={"love": 1.0}))
        connection.execute(pairs.delete())
    outcome = run_reward_model(JobContext(context))
    assert outcome.status == "skipped"
    assert "of one class" in outcome.detail
    assert states(context) == ["champion"]
    assert [path.name for path in versions_folder(context.settings).iterdir()] == ["1"]


def test_a_damaged_cache_is_computed_again_and_gives_the_same_model(context: Context) -> None:
    fill(context, EXCHANGES)
    with pytest.raises(Died):
        train(context, dying_at("head love"))
    segment = next((context.settings.data_dir / "feature_cache").rglob("*.safetensors"))
    content = bytearray(segment.read_bytes())
    content[-5] ^= 64
    segment.write_bytes(bytes(content))
    run(context)
    damaged = read_folder(versions_folder(context.settings) / "1")[0]
    with context.database.transaction() as connection:
        connection.execute(reward_models.delete())
    run(context)
    assert read_folder(versions_folder(context.settings) / "1")[0].heads_sha256 == damaged.heads_sha256


def test_a_damaged_champion_is_said_and_replaced_by_what_beats_chance(context: Context, clock: ManualClock) -> None:
    fill(context, EXCHANGES)
    run(context)
    (versions_folder(context.settings) / "1" / "heads.safetensors").write_bytes(b"damaged")
    fill(context, 20, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)
    assert "reward@1 cannot be loaded" in run(context)
    assert states(context) == ["former", "champion"]


@pytest.mark.parametrize("code", [errno.ENOSPC, pytest.param(errno.EDQUOT, marks=pytest.mark.full)])
def test_a_full_disk_is_said_and_the_champion_stays(
    context: Context, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fill(context, EXCHANGES)
    run(context)
    fill(context, 20, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)

    def full(*_arguments: object) -> None:
        raise OSError(code, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("reward_model.drafting.save_heads", full)
        with pytest.raises(NoSpaceLeft, match="make room"):
            train(context, lambda _share, _text: None)
    assert states(context) == ["champion"]
    assert RewardModel.load(rows(context)[0]["path"]).objectives == ("love", "utility")
    assert "reward@2" in run(context)


def test_halves_are_kept_with_the_version(context: Context) -> None:
    fill(context, EXCHANGES)
    run(context)
    model = RewardModel.load(rows(context)[0]["path"])
    assert model.has_halves
    one, two = model.half(0), model.half(1)
    assert one.objectives == two.objectives == model.objectives
    features = torch.randn(6, len(model.standardizer.mean), generator=torch.Generator().manual_seed(0))
    scores = [which.score_hidden(features).values for which in (model, one, two)]
    assert not (scores[1] == scores[2]).all()
    assert not (scores[0] == scores[1]).all()
    with pytest.raises(NoHalves):
        one.half(0)
