"""Who teaches a policy and who examines it: models of different people, where there are two."""

import pytest
import torch

from infra.settings import Settings
from policy_update.service import teacher_and_examiner
from reward_model.files import HalfHeads, Manifest
from reward_model.scoring import RewardModel
from reward_model.subspace import Standardizer


def model(halves: int) -> RewardModel:
    """A reward model of one head on four features, with as many halves."""
    manifest = Manifest(
        name="reward",
        version=3,
        objectives=("love",),
        base_model_hash="b",
        tokenizer_hash="t",
        template_hash="c",
        layers=(1,),
        max_prompt_tokens=8,
        max_answer_tokens=8,
        calibration={"love": (1.0, 0.0)},
        halves=tuple(HalfHeads(calibration={"love": (2.0, float(half))}) for half in range(halves)),
    )
    own = tuple((torch.full((1, 3, 4), float(half)), torch.zeros(1, 3)) for half in range(halves))
    return RewardModel(
        manifest, Standardizer(torch.zeros(4), torch.ones(4)), torch.ones(1, 3, 4), torch.zeros(1, 3), own
    )


@pytest.mark.parametrize("version", [1, 2])
def test_the_halves_take_turns(settings: Settings, version: int) -> None:
    teacher, examiner = teacher_and_examiner(model(2), version, settings)
    assert float(teacher.weights[0, 0, 0]) == version % 2
    assert float(examiner.weights[0, 0, 0]) == 1 - version % 2
    assert teacher.manifest.calibration["love"] == (2.0, float(version % 2))


def test_without_halves_or_where_settings_say_so_the_full_model_does_both(settings: Settings) -> None:
    whole = model(0)
    assert teacher_and_examiner(whole, 1, settings) == (whole, whole)
    wanted = settings.policy_update.model_copy(update={"cross_fit": False})
    both = model(2)
    found = teacher_and_examiner(both, 1, settings.model_copy(update={"policy_update": wanted}))
    assert found[0] is found[1] is both
