"""The table of recipes: each names its functions, its numbers and its paper. A stage not named has the default of
`Recipe`: GRPO's with a token-mean, `clipped`, k3 in the loss and truncated importance weights for the sampler."""

from policy_update.algebra.recipe import Recipe
from policy_update.algebra.recipes import baselines, groups, objectives, variants

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for family in (objectives, groups, baselines, variants) for recipe in family.RECIPES
}
"""All recipes by name, the default first."""
