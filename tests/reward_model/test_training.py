"""Heads and utility on simulated people: they learn, are calibrated, and know what they do not know."""

import numpy as np
import pytest
import torch

from infra.settings.reward_model import RewardModelSettings
from reward_model.cross_validation import cross_validate_pairs
from reward_model.training import train_heads
from tests.reward_model.builders import answer, build, label, simulated

SETTINGS = RewardModelSettings(
    min_labels=50, min_pairs=50, l2_grid=(0.001, 0.01, 0.1), folds=3, bootstrap=200, thresholds=(2.0, 10.0)
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained():  # type: ignore[no-untyped-def]
    data, features, utility = simulated(500, flips=0.2, seed=1)
    return data, features, utility, train_heads(data, features, SETTINGS)


def test_both_heads_exist_and_beat_chance_on_the_hold_out(trained) -> None:  # type: ignore[no-untyped-def]
    heads = trained[3].report["heads"]
    assert trained[3].objectives == ("love", "utility")
    assert heads["love"]["auroc"] > 0.8
    assert heads["love"]["brier_skill"] > 0.2
    assert heads["love"]["log_loss"] < heads["love"]["log_loss_chance"]
    assert heads["utility"]["accuracy"]["low"] > 0.5
    assert heads["utility"]["log_loss"] < heads["utility"]["log_loss_chance"]
    assert trained[3].report["absent"] == {}


def test_probabilities_are_calibrated(trained) -> None:  # type: ignore[no-untyped-def]
    head = trained[3].report["heads"]["love"]
    assert head["ece"] < head["ece_if_calibrated"] * 1.3


def test_the_flip_rate_was_found_not_given(trained) -> None:  # type: ignore[no-untyped-def]
    head = trained[3].report["heads"]["utility"]
    assert head["flip_rate"] == pytest.approx(0.2, abs=0.1)
    low, high = head["flip_rate_interval"]
    assert low <= 0.2 <= high


def test_utility_follows_the_truth_on_its_own_scale() -> None:
    """s(u(a) - u(b)) is the probability of the true preference: the slope against the truth is near 1."""
    data, features, truth = simulated(800, seed=7)
    made = train_heads(data, features, SETTINGS)
    x = (features - made.tensors["mean"]) / (made.tensors["spread"] * features.shape[1] ** 0.5)
    learned = (x @ made.tensors["weights"][1, 0]).numpy()
    held = data.split.held_out
    assert np.corrcoef(learned[held], truth[held])[0, 1] > 0.95
    assert np.polyfit(truth[held], learned[held], 1)[0] == pytest.approx(1.0, abs=0.3)


def test_nothing_of_the_hold_out_is_learned_from() -> None:
    """Garbage in the hold-out changes no weight."""
    data, features, _ = simulated(150, seed=2)
    spoiled = features.clone()
    spoiled[torch.from_numpy(data.split.held_out)] = 1e3
    one, two = train_heads(data, features, SETTINGS), train_heads(data, spoiled, SETTINGS)
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[name]), name


def test_one_text_shown_often_does_not_shout_down_the_others() -> None:
    """A greeting liked 60 times of 60 beside 160 answers liked half of the time: at correlation 1 its labels are worth
    one, and the head's logit for it is lower; answers that are all different are left as they are."""
    greeting = [answer(i, prompt="hello", text="Hello, dear!") for i in range(60)]
    others = [answer(i) for i in range(60, 220)]
    rng = np.random.default_rng(4)
    likes = np.concatenate([np.ones(60), rng.random(160) < 0.5])
    labels = [label(row, love=float(like)) for row, like in zip([*greeting, *others], likes, strict=True)]
    data = build([*greeting, *others], labels)
    texts = torch.from_numpy(rng.normal(size=(161, 6))).float()
    numbers = [0 if row.text == "Hello, dear!" else int(row.text.split()[1]) - 59 for row in data.answers]
    place = numbers.index(0)

    def logit(correlation: float) -> float:
        made = train_heads(data, texts[numbers], SETTINGS.model_copy(update={"repeat_correlation": correlation}))
        x = (texts[0] - made.tensors["mean"]) / (made.tensors["spread"] * 6**0.5)
        return float(x @ made.tensors["weights"][0, 0] + made.tensors["intercepts"][0, 0])

    assert data.split.training[place]
    assert logit(1.0) < logit(0.0) - 0.25
    unique, features, _ = simulated(60, seed=5)
    one, two = (
        train_heads(unique, features, SETTINGS.model_copy(update={"repeat_correlation": rho})) for rho in (0.0, 1.0)
    )
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[name]), name


def test_too_few_pairs_leave_the_utility_head_out_and_say_so() -> None:
    data, features, _ = simulated(60, seed=3)
    made = train_heads(data, features, SETTINGS.model_copy(update={"min_pairs": 61}))
    assert made.objectives == ("love",)
    assert made.report["absent"] == {"utility": "1 pairs more needed (60 so far)"}


def test_labels_of_one_kind_make_no_head() -> None:
    rows = [answer(i) for i in range(60)]
    data = build(rows, [label(row, love=1.0) for row in rows])
    made = train_heads(data, torch.randn(60, 4), SETTINGS)
    assert made.objectives == ()
    assert "negative" in made.report["absent"]["love"]
    assert made.tensors["weights"].shape[0] == 0


def test_cross_validation_judges_every_pair_once_and_honestly() -> None:
    data, features, _ = simulated(200, seed=4)
    found = cross_validate_pairs(data, features, SETTINGS, folds=4)
    assert found.accuracy.count == 200
    assert found.accuracy.groups == 200
    assert found.accuracy.low > 0.6
    assert len(found.flip_rates) == 4


def test_cross_validation_finds_nothing_in_noise() -> None:
    data, features, _ = simulated(200, seed=5)
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    found = cross_validate_pairs(data, noise, SETTINGS, folds=4)
    assert found.accuracy.low < 0.5 < found.accuracy.high + 0.05
