"""Every recipe of the table, as it stands in the table, makes a tiny random model's answers better, in about a second.

The reward is the share of vowels; a tenth of the vocabulary ends an answer, so that most end before the limit and some
are cut.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from policy_update.algebra.options import Option, recipe_named
from policy_update.algebra.table import RECIPES
from policy_update.scoring import rollout_sampler
from policy_update.trainer import Trainer
from tests.policy_update.test_trainer import CONVERSATIONS, letters, models, settings

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel

LEAST_GAIN = 0.06
"""Of the mean over two steps of 128 answers each, whose standard error is near 0.012 at either end."""
WEAK_DIVERGENCE: dict[str, Option] = {"reward_kl": 0.005}
"""The rewards here differ by tenths and an answer's KL grows to several nats: at 0.05 a nat, staying is the better."""


SEVERAL = ("cispo", "gppo", "kl_cov", "ppo")
"""Recipes that live by several updates a rollout: what holds them has no gradient at the first."""


def learns(base: "LoadedModel", name: str, steps: int, updates: int) -> None:
    loaded = replace(base, end_ids=(*base.end_ids, *range(300, 340)))
    recipe = recipe_named(name, WEAK_DIVERGENCE if RECIPES[name].all_numbers.get("reward_kl") else None)
    wanted = settings(
        steps=steps,
        updates_per_rollout=updates,
        group_size=32,
        max_new_tokens=8,
        learning_rate=0.03,
        micro_batch_prompts=4,
        warmup_steps=0,
    )
    sample = rollout_sampler(loaded, wanted, wanted.group_size)
    run = Trainer(models(loaded), wanted, recipe, {"letters": 1.0}, sample, letters).train(CONVERSATIONS)
    rewards = [record.rewards["letters"] for record in run.history]
    assert sum(rewards[-2:]) / 2 > sum(rewards[:2]) / 2 + LEAST_GAIN, rewards
    assert run.distance > 0


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_raises_the_reward(tiny_loaded: "LoadedModel", name: str) -> None:
    learns(tiny_loaded, name, steps=14, updates=1)


@pytest.mark.parametrize("name", SEVERAL)
def test_two_updates_a_rollout_raise_the_reward(tiny_loaded: "LoadedModel", name: str) -> None:
    learns(tiny_loaded, name, steps=10, updates=2)
