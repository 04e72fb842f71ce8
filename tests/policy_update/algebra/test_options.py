"""Recipes changed by settings: what is accepted, and what is refused with a hint."""

import re
from typing import Any

import pytest

from policy_update.algebra import policy_terms, regularizers, shaping
from policy_update.algebra.binding import defaults_of
from policy_update.algebra.options import FUNCTIONS, ORDERED, RANGES, WHOLE, UnknownRecipe, WrongOption, recipe_named
from policy_update.algebra.recipe import STAGES
from policy_update.algebra.table import RECIPES


def test_known_recipe() -> None:
    assert recipe_named("gdpo") == RECIPES["gdpo"]


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UnknownRecipe, match="did you mean 'grpo'"):
        recipe_named("grpoo")


def test_numbers_and_functions() -> None:
    recipe = recipe_named(
        "dapo", {"clip_high": 0.4, "regularizer": "k2", "shaping": ["length_exact"], "target_share": 0.25}
    )
    assert recipe.all_numbers["clip_high"] == 0.4
    assert recipe.all_numbers["target_share"] == 0.25
    assert "overlong_cache" not in recipe.all_numbers
    assert recipe.regularizer is regularizers.k2
    assert recipe.shaping == (shaping.length_exact,)
    assert recipe.dynamic_sampling
    assert not recipe_named("dapo", {"dynamic_sampling": False}).dynamic_sampling
    assert RECIPES["dapo"].all_numbers["clip_high"] == 0.28


def test_numbers_of_a_function_that_was_replaced_go_with_it() -> None:
    recipe = recipe_named("dapo", {"term": "score"})
    assert recipe.term is policy_terms.score
    assert "clip_high" not in recipe.numbers
    assert "updates" not in recipe.needs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_hihg": 0.3}, "has no 'clip_hihg'; did you mean 'clip_high'"),
        ({"gamma": 0.9}, "recipe 'gdpo' has no 'gamma'"),
        ({"regularizer": "k4"}, "regularizer = 'k4' is not known; did you mean"),
        ({"shaping": ["soft_overlog"]}, "did you mean 'soft_overlong'"),
        ({"term": "k3"}, "term = 'k3' is not known"),
        ({"clip_high": -0.1}, "clip_high = -0.1 should be a finite number, 0 or more"),
        ({"clip_high": float("nan")}, "should be a finite number"),
        ({"clip_high": True}, "should be a finite number"),
        ({"clip_high": "wide"}, "should be a finite number"),
        ({"clip_low": 1.5}, "clip_low = 1.5 should be between 0 and 1"),
        ({"estimator": []}, "estimator = [] should be one name; only shaping takes several"),
        ({"term": ["clipped", "score"]}, "should be one name"),
        ({"term": "clipped_by_covariance"}, "set choice to 'random_in_band' or 'largest'"),
        ({"critic": "clipped_value"}, "credit = 'uniform' with critic = 'clipped_value'"),
        ({"credit": "gae"}, "credit = 'gae' with critic = 'no_critic'"),
        ({"importance": "masked_importance", "importance_low": 6.0}, "importance_low = 6 should be below"),
        ({"estimator": "best_of_k", "k": 2.5}, "k = 2.5 should be a whole number, at least 2"),
        ({"estimator": "best_of_k", "k": 1.0}, "k = 1.0 should be a whole number, at least 2"),
        ({"dynamic_sampling": 1.0}, "dynamic_sampling = 1.0 should be true or false"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongOption, match=re.escape(message)):
        recipe_named("gdpo", options)


def test_options_from_settings() -> None:
    from infra.settings.policy_update import PolicyUpdateSettings

    given = PolicyUpdateSettings(
        recipe="dapo",
        recipe_options={"clip_high": 0.3, "dynamic_sampling": False, "regularizer": "k3", "shaping": ["soft_overlong"]},
    )
    recipe = recipe_named(given.recipe, given.recipe_options)
    assert recipe.all_numbers["clip_high"] == 0.3
    assert not recipe.dynamic_sampling


def test_every_stage_offers_what_the_table_uses() -> None:
    for recipe in RECIPES.values():
        for stage in STAGES:
            for function in recipe.functions((stage,)):
                assert FUNCTIONS[stage][function.__name__] is function, (recipe.name, stage)


def test_every_recipe_is_within_its_own_bounds() -> None:
    for name, recipe in RECIPES.items():
        assert recipe_named(name, dict(recipe.all_numbers)).all_numbers == recipe.all_numbers
    known = {name for stage in FUNCTIONS.values() for function in stage.values() for name in defaults_of(function)}
    assert {*RANGES, *WHOLE, *(name for pair in ORDERED for name in pair)} <= known


def test_numbers_of_a_recipe_belong_to_its_functions() -> None:
    for recipe in RECIPES.values():
        known = {name for function in recipe.functions() for name in defaults_of(function)}
        assert set(recipe.numbers) <= known, recipe.name


def test_a_name_means_one_thing_within_a_recipe() -> None:
    """Two functions of one recipe that share a number's name would both be changed by it: they share its default."""
    for recipe in RECIPES.values():
        seen: dict[str, float] = {}
        for function in recipe.functions():
            for name, value in defaults_of(function).items():
                assert seen.setdefault(name, value) == value, (recipe.name, name)
