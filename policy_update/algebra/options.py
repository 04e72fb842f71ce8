"""A recipe by name, with other numbers or other functions where the settings say so."""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from infra.contracts import PlauditError
from policy_update.algebra import (
    aggregation,
    covariance,
    credit,
    entropy_credit,
    estimators,
    filters,
    importance,
    policy_terms,
    regularizers,
    scalarization,
    sequence_terms,
    shaping,
    whitening,
)
from policy_update.algebra.binding import Function, inputs_of
from policy_update.algebra.recipe import STAGES, Recipe
from policy_update.algebra.table import RECIPES

Option = float | bool | str | Sequence[str]


class UnknownRecipe(PlauditError):
    """No recipe has that name."""

    code = "unknown_recipe"
    status = 400


class WrongOption(PlauditError):
    """An option of a recipe that it does not have, or a value that cannot be."""

    code = "wrong_recipe_option"
    status = 400


def _choices(*modules: ModuleType, asking: str) -> dict[str, Function]:
    """Public functions defined in the modules whose first input is `asking`."""
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if callable(function) and not name.startswith("_") and getattr(function, "__module__", "") == module.__name__
        if not isinstance(function, type) and inputs_of(function)[:1] == (asking,)
    }


_KL = {f.__name__: f for f in (regularizers.k1, regularizers.k2, regularizers.k3, regularizers.k3_corrected)}

FUNCTIONS: dict[str, dict[str, Function]] = {
    "shaping": {n: f for n, f in _choices(shaping, asking="shaped").items() if n != "with_objective"},
    "scalarization": _choices(scalarization, asking="shaped"),
    "estimator": {n: f for n, f in _choices(estimators, asking="rewards").items() if n != "centred"},
    "scaling": {f.__name__: f for f in (whitening.as_it_is, whitening.batch_scaled, whitening.batch_whitened)},
    "filter": _choices(filters, asking="mask"),
    "credit": {
        f.__name__: f
        for f in (
            credit.uniform,
            credit.reward_to_go,
            credit.gae,
            credit.length_adaptive_gae,
            entropy_credit.by_token_entropy,
            entropy_credit.by_answer_entropy,
        )
    },
    "whitening": {f.__name__: f for f in (whitening.as_it_is, whitening.token_whitened)},
    "choice": {f.__name__: f for f in (covariance.nothing_chosen, covariance.random_in_band, covariance.largest)},
    "importance": _choices(importance, asking="old"),
    "term": {n: f for n, f in _choices(policy_terms, sequence_terms, asking="new").items() if n != "mean_log_ratio"},
    "regularizer": {**_KL, "no_penalty": regularizers.no_penalty},
    "bonus": {f.__name__: f for f in (regularizers.no_bonus, regularizers.entropy_bonus)},
    "critic": {f.__name__: f for f in (regularizers.no_critic, regularizers.clipped_value)},
    "aggregation": _choices(aggregation, asking="loss"),
}
"""Every function that a stage may be given, by its name."""

RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("clip_low", "lam", "gamma", "kept_share", "clip_rate", "kl_rate", "unlikeliness"), (0.0, 1.0)),
    **dict.fromkeys(("overlong_cache", "target_share"), (0.0, 1.0)),
    **dict.fromkeys(("alpha", "softmin_temperature", "importance_cap", "ratio_cap"), (1e-6, math.inf)),
    "dual_clip": (1.0, math.inf),
}
"""Bounds, both included, of numbers that mean something only there; any other is 0 or more."""
WHOLE = {"k": 2}
"""Numbers that are counts, with the least they may be."""
ORDERED = (("importance_low", "importance_high"), ("cov_low", "cov_high"))
"""Pairs of numbers of which the second must be the larger."""


def recipe_named(name: str, options: Mapping[str, Option] | None = None) -> Recipe:
    """The recipe of that name, changed by `options`: a stage's name to another of its functions, a number's name to
    another value, `dynamic_sampling` to true or false. Raises UnknownRecipe, or WrongOption (naming the nearest) for
    an option that there is not, a value out of bounds, and functions of which one asks for what none gives."""
    if name not in RECIPES:
        raise UnknownRecipe(
            f"policy_update.recipe {name!r} is not known{_nearest(name, RECIPES)}. Known: {', '.join(sorted(RECIPES))}",
            field="policy_update.recipe",
        )
    given = dict(options or {})
    changed: dict[str, Any] = {stage: _function(stage, given.pop(stage)) for stage in STAGES if stage in given}
    if "dynamic_sampling" in given:
        changed["dynamic_sampling"] = _switch("dynamic_sampling", given.pop("dynamic_sampling"))
    chosen = replace(RECIPES[name], **changed)
    numbers = {key: _number(chosen, key, value) for key, value in given.items()}
    still = {key: value for key, value in chosen.numbers.items() if key in chosen.all_numbers}
    changed_recipe = replace(chosen, numbers={**still, **numbers})
    _demand_whole(changed_recipe)
    return changed_recipe


def _demand_whole(recipe: Recipe) -> None:
    """Raises WrongOption for parts that do not go together."""
    asked = {name for function in recipe.functions() for name in inputs_of(function)}
    if "chosen" in asked and recipe.choice is covariance.nothing_chosen:
        raise WrongOption(
            f"policy_update.recipe_options: term = {recipe.term.__name__!r} works on chosen tokens, but choice is "
            "'nothing_chosen': set choice to 'random_in_band' or 'largest'",
            field="policy_update.recipe_options.choice",
        )
    from_critic = "values" in inputs_of(recipe.credit)
    if from_critic != (recipe.critic is not regularizers.no_critic):
        raise WrongOption(
            f"policy_update.recipe_options: credit = {recipe.credit.__name__!r} with critic = "
            f"{recipe.critic.__name__!r}: 'gae' and 'length_adaptive_gae' need critic = 'clipped_value', which teaches "
            "the values they use, and no other credit teaches it",
            field="policy_update.recipe_options.critic",
        )
    for low, high in ORDERED:
        if low in recipe.all_numbers and not recipe.all_numbers[low] < recipe.all_numbers[high]:
            raise WrongOption(
                f"policy_update.recipe_options: {low} = {recipe.all_numbers[low]:g} should be below {high} = "
                f"{recipe.all_numbers[high]:g}",
                field=f"policy_update.recipe_options.{low}",
            )


def _function(stage: str, value: Option) -> Function | tuple[Function, ...]:
    names = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if stage != "shaping" and len(names) != 1:
        raise WrongOption(
            f"policy_update.recipe_options: {stage} = {value!r} should be one name; only shaping takes several",
            field=f"policy_update.recipe_options.{stage}",
        )
    for one in names:
        if one not in FUNCTIONS[stage]:
            known = ", ".join(sorted(FUNCTIONS[stage]))
            raise WrongOption(
                f"policy_update.recipe_options: {stage} = {one!r} is not known{_nearest(str(one), FUNCTIONS[stage])}. "
                f"Known: {known}",
                field=f"policy_update.recipe_options.{stage}",
            )
    found = tuple(FUNCTIONS[stage][str(one)] for one in names)
    return found if stage == "shaping" else found[0]


def _number(recipe: Recipe, key: str, value: Option) -> float:
    known = sorted({*recipe.all_numbers, *STAGES, "dynamic_sampling"})
    if key not in recipe.all_numbers:
        raise WrongOption(
            f"policy_update.recipe_options: recipe {recipe.name!r} has no {key!r}{_nearest(key, known)}. It has: "
            f"{', '.join(known)}",
            field=f"policy_update.recipe_options.{key}",
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise WrongOption(
            f"policy_update.recipe_options: {key} = {value!r} should be a finite number, 0 or more",
            field=f"policy_update.recipe_options.{key}",
        )
    low, high = (WHOLE[key], math.inf) if key in WHOLE else RANGES.get(key, (0.0, math.inf))
    if not low <= value <= high or (key in WHOLE and value != int(value)):
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise WrongOption(
            f"policy_update.recipe_options: {key} = {value!r} should be {'a whole number, ' if key in WHOLE else ''}"
            f"{bounds}",
            field=f"policy_update.recipe_options.{key}",
        )
    return float(value)


def _switch(key: str, value: Option) -> bool:
    if not isinstance(value, bool):
        raise WrongOption(
            f"policy_update.recipe_options: {key} = {value!r} should be true or false",
            field=f"policy_update.recipe_options.{key}",
        )
    return value


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
