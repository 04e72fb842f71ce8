"""Two models on disjoint halves of the people: no opinion of one half moves the other's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infra.settings.reward_model import RewardModelSettings
from reward_model.crossfit import of_half, shortage, train_halves
from reward_model.people_halves import half_of
from reward_model.training import train_heads
from tests.reward_model.builders import simulated

SETTINGS = RewardModelSettings(
    min_labels=50,
    min_pairs=20,
    l2_grid=(0.01, 0.1),
    folds=3,
    bootstrap=100,
    ensemble=2,
    thresholds=(10.0,),
    cross_fit_min_labels=60,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_halves_are_disjoint_by_person_and_leave_the_answers_in_place() -> None:
    data, _, _ = simulated(120, seed=2)
    one, two = of_half(data, 0), of_half(data, 1)
    told = [~np.isnan(part.targets[:, 0]) for part in (one, two)]
    assert not (told[0] & told[1]).any()
    assert one.answers == two.answers == data.answers
    for half, rows in enumerate(told):
        assert rows.sum() > 50
        people = {data.answers[row].user_key for row in np.flatnonzero(rows)}
        assert {half_of(name, "") for name in people} == {half}
    assert len(one.pairs) + len(two.pairs) == len(data.pairs)
    assert {half_of(name, "") for name in two.pair_people} == {1}


def test_one_half_learns_nothing_from_the_others_opinions() -> None:
    data, features, _ = simulated(200, seed=3)
    full = train_heads(data, features, SETTINGS)
    made = train_halves(data, features, SETTINGS, full)
    assert not isinstance(made, str)
    theirs = data.half == 1
    flipped = replace(data, targets=np.where(theirs[:, None], 1.0 - data.targets, data.targets))
    backwards = data.pair_half == 1
    flipped = replace(flipped, pairs=np.where(backwards[:, None], data.pairs[:, ::-1], data.pairs))
    other = train_halves(flipped, features, SETTINGS, full)
    assert not isinstance(other, str)
    assert torch.equal(made[0].tensors["weights"], other[0].tensors["weights"])
    assert made[0].calibration == other[0].calibration
    assert not torch.equal(made[1].tensors["weights"], other[1].tensors["weights"])


def test_too_few_people_on_a_side_is_said_with_the_number() -> None:
    data, features, _ = simulated(60, seed=4)
    settings = SETTINGS.model_copy(update={"cross_fit_min_labels": 500})
    full = train_heads(data, features, settings)
    reason = train_halves(data, features, settings, full)
    assert isinstance(reason, str)
    assert reason == shortage(data, settings, full.objectives)
    have = int((~np.isnan(of_half(data, 0).targets[:, 0]) & data.split.training).sum())
    assert reason.startswith(f"{500 - have} labels of love more needed from half 0")
