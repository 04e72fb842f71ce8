"""`plaudit policy-update`: the room's job, run by hand or by a CronJob, and the algorithms it can be told to use."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.common import console, group, settings
from plaudit.commands.jobs import run_once

if TYPE_CHECKING:
    from policy_update.algebra.recipe import Recipe

app = group("LoRA adapters by multi-objective GRPO.")


@app.callback()
def room() -> None:
    """LoRA adapters by multi-objective GRPO."""


@app.command()
def train() -> None:
    """Train an adapter against the reward model and put it before the gate. Exit codes: see `plaudit jobs run`.

    Several processes train one adapter under `accelerate launch -m plaudit policy-update train`: rank 0 runs the job.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from policy_update.following import run_together

        raise typer.Exit(run_together(settings(), lambda: run_once("policy-update")))
    raise typer.Exit(run_once("policy-update"))


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Only this one, with every function and number it has.")] = None,
) -> None:
    """The training algorithms `policy_update.recipe` may name: paper, parts, and what sets each apart."""
    from policy_update.algebra.options import recipe_named
    from policy_update.algebra.table import RECIPES

    if name is None:
        _print_all(list(RECIPES.values()))
    else:
        _print_one(recipe_named(name))


def _print_all(recipes: "list[Recipe]") -> None:
    from rich.markup import escape
    from rich.table import Table

    from policy_update.algebra.describing import COLUMNS, described

    table = Table(*COLUMNS, header_style="bold", show_lines=True, box=None, pad_edge=False)
    for recipe in recipes:
        table.add_row(*map(escape, described(recipe)))
    out = console()
    out.soft_wrap = False
    out.print(table)


def _print_one(recipe: "Recipe") -> None:
    from rich.markup import escape
    from rich.table import Table

    from policy_update.algebra.describing import stages_of

    out = console()
    out.print(f"[bold]{recipe.name}[/bold] ({escape(recipe.paper)}). {escape(recipe.differs)}")
    table = Table("stage", "function", box=None, header_style="bold")
    for stage, functions in stages_of(recipe):
        table.add_row(stage, functions)
    table.add_row("dynamic_sampling", str(recipe.dynamic_sampling).lower())
    out.print(table)
    numbers = Table("number", "value", box=None, header_style="bold")
    for key, value in sorted(recipe.all_numbers.items()):
        numbers.add_row(key, f"{value:g}")
    out.print(numbers)
    if recipe.needs:
        out.print(f"needs: {', '.join(sorted(recipe.needs))}")
