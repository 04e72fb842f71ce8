"""Cross-fitting of fine-tuned versions: an adapter for each half of the people, and none learns of the other's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.contracts import ManualClock
from infra.models.loading import load_folder
from infra.runtime import Context
from infra.settings import Settings
from reward_model.crossfit import of_half, train_halves
from reward_model.data import TrainingSet
from reward_model.features import TrainingStopped
from reward_model.finetuning.pipeline import CHECKPOINT_FILE, FinetunedFitted, finetune
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.pipeline import Fitted, fit_on_backbone
from reward_model.scoring import open_reward_model
from reward_model.service import load_training_set, train, versions_folder
from tests.reward_model.finetuning.test_pipeline import ASKED, GIVEN, files_of, opened
from tests.reward_model.test_lifecycle import Died, dying_at, rows, run
from tests.reward_model.test_service import fill


@pytest.fixture
def context(settings: Settings, clock: ManualClock, tiny_model_dir: Path) -> Iterator[Context]:
    made = opened(settings, clock, tiny_model_dir)
    wanted = made.settings.reward_model
    tuning = wanted.finetuning.model_copy(update={"max_steps": 4, "checkpoint_steps": 2})
    wanted = wanted.model_copy(update={"cross_fit_min_labels": 20, "finetuning": tuning})
    torch.set_num_threads(1)
    fill(made, 120)
    yield replace(made, settings=made.settings.model_copy(update={"reward_model": wanted}))
    made.close()


def quiet(_share: float, _text: str) -> None:
    """No progress is watched."""


def tuned(context: Context, data: TrainingSet, frozen: Fitted, folder: Path) -> FinetunedFitted:
    folder.mkdir()
    return finetune(context.settings, data, frozen, folder, quiet, lambda: False)


def weights(model: FinetunedRewardModel) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.scorer.trainable()]


def test_a_half_is_the_same_whatever_the_other_thinks(context: Context, tmp_path: Path) -> None:
    data = load_training_set(context, context.clock.now())
    frozen = fit_on_backbone(context.settings, data, quiet, lambda: False)
    theirs, pairs = data.half == 1, data.pair_half == 1
    turned = replace(
        data,
        targets=np.where(theirs[:, None], 1.0 - data.targets, data.targets),
        pairs=np.where(pairs[:, None], data.pairs[:, ::-1], data.pairs),
    )
    again = replace(frozen, halves=train_halves(turned, frozen.features, context.settings.reward_model, frozen.heads))
    first, second = (
        tuned(context, one, heads, tmp_path / name).model
        for one, heads, name in ((data, frozen, "a"), (turned, again, "b"))
    )
    assert first.has_halves
    same = []
    for one, other in zip(first.halves, second.halves, strict=True):
        same.append(all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True)))
    assert same == [True, False]
    assert first.half(0).manifest.calibration == second.half(0).manifest.calibration
    own = of_half(data, 0)
    trained = first.half(0).manifest.report["heads"]["utility"]["pairs_trained"]
    assert trained == int(own.pair_training.sum()) < int(data.pair_training.sum())


@pytest.mark.full
def test_a_version_holds_its_halves_on_its_own_scale(context: Context) -> None:
    run(context)
    (row,) = rows(context)
    assert [list(half["heads"]) for half in row["metrics"]["cross_fit"]["halves"]] == [["love", "utility"]] * 2
    assert sorted(path.name for path in versions_folder(context.settings).iterdir()) == ["1"], "no checkpoint stays"
    loaded = load_folder(Path(context.settings.model.base), device="cpu", dtype="float32")
    model = open_reward_model(row["path"], loaded)
    teacher, examiner = model.half(1), model.half(0)
    scores = [one.score(loaded, ASKED, GIVEN).values for one in (model, teacher, examiner)]
    assert all(np.isfinite(found).all() for found in scores)
    assert len({found.tobytes() for found in scores}) == 3
    data = load_training_set(context, context.clock.now())
    asked, given = [a.messages for a in data.answers], [a.text for a in data.answers]
    spread = [one.score(loaded, asked, given).values[:, 1].std() for one in (model, teacher, examiner)]
    assert spread[1:] == pytest.approx([spread[0]] * 2, rel=0.05), "pinned on the anchors"


@pytest.mark.full
@pytest.mark.parametrize("half", [0, 1])
def test_a_death_in_a_half_is_made_good(context: Context, clock: ManualClock, half: int) -> None:
    with pytest.raises(Died):
        train(context, dying_at(f", half {half} of the people"))
    assert (versions_folder(context.settings) / CHECKPOINT_FILE).exists()
    clock.advance(5.0)
    steps: list[str] = []
    train(context, lambda _share, text: steps.append(text))
    done = [text for text in steps if text.startswith("fine-tuning")]
    assert all("half" in text for text in done), "the full model is not trained again"
    resumed = files_of(context)
    with context.database.transaction() as connection:
        from infra.db.tables import reward_models

        connection.execute(reward_models.delete())
    run(context)
    assert files_of(context) == resumed
    assert sum(name.startswith("half") for name in resumed) == 4


@pytest.mark.full
def test_asked_to_stop_it_stops_in_a_half(context: Context, tmp_path: Path) -> None:
    data = load_training_set(context, context.clock.now())
    frozen = fit_on_backbone(context.settings, data, quiet, lambda: False)
    seen: list[str] = []
    with pytest.raises(TrainingStopped):
        finetune(
            context.settings,
            data,
            frozen,
            tmp_path,
            lambda _share, text: seen.append(text),
            lambda: any("half 0" in text for text in seen),
        )
    assert not any("half 1" in text for text in seen)
