"""Recipes in words, for the command line and the page of recipes."""

from collections.abc import Iterable

from policy_update.algebra.binding import Function, defaults_of
from policy_update.algebra.recipe import STAGES, Recipe

COLUMNS = ("name", "paper", "advantage", "ratio and clip", "aggregation", "regulariser", "what differs")
_SILENT = frozenset({"as_it_is", "every_token", "nothing_chosen", "no_bonus", "no_critic", "uniform", "drop_saturated"})
"""Functions that are what every recipe has unless it says otherwise."""
ADVANTAGE = ("shaping", "scalarization", "estimator", "scaling", "credit", "whitening")


def described(recipe: Recipe) -> tuple[str, ...]:
    """One cell a column of COLUMNS. Numbers stand with the function that has them."""
    return (
        recipe.name,
        recipe.paper,
        _joined(recipe, recipe.functions(ADVANTAGE)),
        _joined(recipe, recipe.functions(("filter", "importance", "choice", "term"))),
        _joined(recipe, recipe.functions(("aggregation",))),
        _joined(recipe, recipe.functions(("regularizer", "bonus", "critic"))),
        recipe.differs + (" Dynamic sampling." if recipe.dynamic_sampling else ""),
    )


def stages_of(recipe: Recipe) -> list[tuple[str, str]]:
    """Each stage with the names of its functions, in the order they run."""
    return [(stage, ", ".join(f.__name__ for f in recipe.functions((stage,)))) for stage in STAGES]


def citation(paper: str) -> str:
    """An arXiv id as a Markdown link; any other citation as it is."""
    return f"[{paper}](https://arxiv.org/abs/{paper})" if paper[:4].isdigit() else paper


def markdown_table(recipes: Iterable[Recipe]) -> str:
    """The table of docs/policy-update-recipes.md."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for recipe in recipes:
        name, paper, *rest = described(recipe)
        lines.append(f"| `{name}` | {citation(paper)} | {' | '.join(rest)} |")
    return "\n".join(lines)


def stage_table() -> str:
    """The functions each stage may be given, with their numbers' defaults, in Markdown."""
    from policy_update.algebra.options import FUNCTIONS

    lines = ["| stage | functions |", "|---|---|"]
    for stage in STAGES:
        known = (
            f"`{name}`" + "".join(f", {key} {value:g}" for key, value in defaults_of(function).items())
            for name, function in FUNCTIONS[stage].items()
        )
        lines.append(f"| {stage} | {'; '.join(known)} |")
    return "\n".join(lines)


def page(text: str, tables: dict[str, str]) -> str:
    """A page with what stands between `<!-- NAME -->` and `<!-- end of NAME -->` replaced by the table of that name."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + begin + table + "\n" + end + rest.split(end)[1]
    return text


def main() -> None:
    """Write the tables of docs/policy-update-recipes.md anew: `python -m policy_update.algebra.describing`."""
    from pathlib import Path

    from policy_update.algebra.table import RECIPES

    path = Path("docs/policy-update-recipes.md")
    tables = {"recipes": markdown_table(RECIPES.values()), "functions": stage_table()}
    path.write_text(page(path.read_text(encoding="utf-8"), tables), encoding="utf-8")


def _joined(recipe: Recipe, functions: Iterable[Function]) -> str:
    return ", ".join(_with_numbers(recipe, f) for f in functions if f.__name__ not in _SILENT)


def _with_numbers(recipe: Recipe, function: Function) -> str:
    numbers = ", ".join(f"{key} {recipe.all_numbers[key]:g}" for key in defaults_of(function))
    return f"{function.__name__} ({numbers})" if numbers else function.__name__


if __name__ == "__main__":
    main()
