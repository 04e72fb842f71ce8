"""Recipes: a training algorithm is a name that composes one function of each stage with its numbers."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from infra.contracts import PlauditError
from policy_update import advantages, aggregation, regularizers

AdvantageFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
Regularizer = Callable[[Tensor, Tensor], Tensor]


class UnknownRecipe(PlauditError):
    code = "unknown_recipe"
    status = 400


@dataclass(frozen=True)
class Recipe:
    """One named algorithm. `clip_low`, `clip_high` bound the ratio; `per_token` selects token-mean aggregation."""

    name: str
    paper: str
    advantage: AdvantageFunction
    whiten: bool
    clip_low: float
    clip_high: float
    per_token: bool
    regularizer: Regularizer

    def aggregate(self, loss: Tensor, mask: Tensor, tokens: float, answers: float) -> Tensor:
        """One number for a micro-batch of a step with `tokens` tokens and `answers` answers."""
        if self.per_token:
            return aggregation.token_mean(loss, mask, tokens)
        return aggregation.sequence_mean(loss, mask, answers)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("gdpo", "2601.05242", advantages.normalize_then_sum, True, 0.2, 0.28, True, regularizers.k3),
        Recipe("grpo", "2402.03300", advantages.sum_then_normalize, False, 0.2, 0.2, False, regularizers.k3),
        Recipe("dr_grpo", "2503.20783", advantages.center_only, False, 0.2, 0.2, True, regularizers.k3),
        Recipe("rloo", "2402.14740", advantages.leave_one_out, False, 0.2, 0.2, True, regularizers.k2),
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
