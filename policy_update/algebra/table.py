"""The table of recipes: each names its functions, its numbers and its paper."""

import difflib

from infra.contracts import PlauditError
from policy_update.algebra import aggregation, estimators, regularizers, scalarization, whitening
from policy_update.algebra.recipe import Recipe


class UnknownRecipe(PlauditError):
    """No recipe has that name."""

    code = "unknown_recipe"
    status = 400


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "gdpo",
            "2601.05242",
            "Each objective normalised within its group, then summed: weights mean what they say.",
            scalarization=scalarization.each_then_sum,
            scaling=whitening.batch_scaled,
            numbers={"clip_high": 0.28},
        ),
        Recipe(
            "grpo",
            "2402.03300",
            "Normalises the weighted sum; mean over an answer's tokens first, so long answers count less a token.",
            aggregation=aggregation.sequence_mean,
        ),
        Recipe(
            "dr_grpo",
            "2503.20783",
            "Neither the group's spread nor an answer's length divides anything.",
            scalarization=scalarization.each_then_sum,
            estimator=estimators.centre_only,
            aggregation=aggregation.constant_length,
        ),
        Recipe(
            "rloo",
            "2402.14740",
            "The others' mean is the baseline, unbiased for any group size.",
            scalarization=scalarization.each_then_sum,
            estimator=estimators.leave_one_out,
            regularizer=regularizers.k2,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name. Raises UnknownRecipe, naming the nearest."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownRecipe(
            f"policy_update.recipe {name!r} is not known{hint} Known: {', '.join(sorted(RECIPES))}", field="recipe"
        )
    return RECIPES[name]
