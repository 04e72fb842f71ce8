"""Recipes for several objectives at once, with `gdpo`, the default."""

from policy_update.algebra import scalarization, whitening
from policy_update.algebra.recipe import Recipe

RECIPES = (
    Recipe(
        "gdpo",
        "2601.05242",
        "Each objective normalised within its group, then summed, then one scale for the batch, by answer as TRL does "
        "(verl by token); each spread is floored by the head's own noise, which the paper does not have.",
        scalarization=scalarization.each_then_sum,
        scaling=whitening.batch_scaled,
        numbers={"clip_high": 0.28},
    ),
    Recipe(
        "constrained",
        "2602.05863",
        "GDPO's goals minus multiplier times limit, on advantages: summing rewards first would let spreads price the "
        "limits. The trainer moves the multipliers by dual ascent.",
        scalarization=scalarization.constrained,
        scaling=whitening.batch_scaled,
        numbers={"clip_high": 0.28},
    ),
    Recipe(
        "feasibility_first",
        "2409.20370",
        "Only answers within every limit are made likelier; CGPO calibrates against a baseline answer, here the group "
        "is the baseline.",
        scalarization=scalarization.feasibility_first,
        scaling=whitening.batch_scaled,
        numbers={"clip_high": 0.28},
    ),
    Recipe(
        "softmin",
        "2605.05750",
        "A soft minimum over normalised objectives: the one left behind counts most.",
        scalarization=scalarization.softmin,
        scaling=whitening.batch_scaled,
        numbers={"clip_high": 0.28},
    ),
)
