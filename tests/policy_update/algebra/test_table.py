"""Recipes by name."""

import pytest

from policy_update.algebra.options import UnknownRecipe, recipe_named


def test_known_recipe() -> None:
    assert recipe_named("gdpo").paper == "2601.05242"


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UnknownRecipe, match="did you mean 'grpo'"):
        recipe_named("grpoo")
