"""Every recipe of the table, as it stands in the table, makes a tiny random model's answers better, in about a second.

The reward is the share of vowels; a tenth of the vocabulary ends an answer, so that most end before the limit and some
are cut. Two updates a rollout where the recipe has a ratio, one where it has none.
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


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_raises_the_reward(tiny_loaded: "LoadedModel", name: str) -> None:
    loaded = replace(tiny_loaded, end_ids=(*tiny_loaded.end_ids, *range(300, 340)))
    recipe = recipe_named(name, WEAK_DIVERGENCE if RECIPES[name].all_numbers.get("reward_kl") else None)
    several = "updates" in recipe.needs
    wanted = settings(
        steps=10 if several else 16,
        updates_per_rollout=2 if several else 1,
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
