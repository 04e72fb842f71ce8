"""Recipes by name."""

import pytest

from policy_update.recipes import RECIPES, UnknownRecipe, recipe_named


def test_known_recipe() -> None:
    assert recipe_named("gdpo").paper == "2601.05242"


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UnknownRecipe, match="did you mean 'grpo'"):
        recipe_named("grpoo")


def test_every_recipe_bounds_its_ratio() -> None:
    for recipe in RECIPES.values():
        assert 0 < recipe.clip_low < 1, recipe.name
        assert recipe.clip_high >= recipe.clip_low, recipe.name
