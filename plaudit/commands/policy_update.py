"""`plaudit policy-update`: the room's job run by hand, the algorithms it may use, and the gate asked again."""

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.commands.common import console, group, opened, settings
from plaudit.commands.jobs import run_once

if TYPE_CHECKING:
    from policy_update.algebra.recipe import Recipe
    from policy_update.gating.service import Again

app = group("LoRA adapters by multi-objective GRPO.")

REFUSED_EXIT = 1


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


@app.command()
def gate(
    adapter: Annotated[str, typer.Argument(help="name@version of a stored adapter.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Put a stored adapter before the gate again, on the prompts of now. Exit 0: passed; 1: refused.

    The verdict is kept in the adapter's row. A challenger that is refused now meets nobody; a refused one stays so.
    """
    from policy_update.gating.service import gate_again

    with opened("policy-gate") as context, _progress(as_json) as advance:
        found = gate_again(context, adapter, advance)
    if as_json:
        print(json.dumps({"adapter": found.ref, "state": found.state, **found.document}, indent=2))
    else:
        _print_verdict(found)
    raise typer.Exit(0 if found.passed else REFUSED_EXIT)


def _progress(quiet: bool) -> Any:
    """A context that gives a function of the fraction done, drawing a bar on standard error."""
    import contextlib

    from rich.console import Console
    from rich.progress import Progress

    @contextlib.contextmanager
    def bar() -> Any:
        with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
            task = progress.add_task("held-out prompts", total=1.0)
            yield lambda fraction: progress.update(task, completed=fraction)

    return bar()


def _print_verdict(found: "Again") -> None:
    from rich.markup import escape
    from rich.table import Table

    out, document = console(), found.document
    table = Table("", "check", "before", "after", "difference", "interval", "limit", box=None, header_style="bold")
    for check in [*document["checks"], *document["advice"]]:
        advice = check["group"] == "advice"
        mark = "[dim]·[/dim]" if advice else "[green]✓[/green]" if check["passed"] else "[red]✗[/red]"
        table.add_row(
            mark, escape(check["name"]), *(_number(check[key]) for key in ("before", "after", "value")),
            f"{_number(check['low'])} to {_number(check['high'])}", _number(check["limit"]),
        )  # fmt: skip
    out.print(table)
    for reason in document["reasons"]:
        out.print(f"[red]refused:[/red] {escape(reason)}")
    for check in document["advice"]:
        out.print(escape(check["reason"]))
    word = "[green]passed[/green]" if found.passed else "[red]refused[/red]"
    notes = document["notes"]
    out.print(
        f"{escape(found.ref)} {word} against {escape(document['champion'])}, {notes['answers']} answers to "
        f"{notes['prompts']} held-out prompts, examined by {escape(document['reward_model'])}; state: {found.state}"
    )
    out.print(f"files: {escape(str(found.folder))}")


def _number(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.4g}"
