"""`plaudit config`: what is set, to what, and by whom."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.common import console, group, settings

if TYPE_CHECKING:
    from infra.settings.describing import Description

app = group("What is set, to what, and by whom.")


class Format(StrEnum):
    """How `config show` prints."""

    TABLE = "table"
    JSON = "json"


@app.command()
def show(
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from its default.")] = False,
    output: Annotated[Format, typer.Option("--format", help="A table for people, JSON for tools.")] = Format.TABLE,
) -> None:
    """Every setting, its value, and who set it; secrets are masked. Ends with the hash that runs are stored with."""
    from infra.settings.describing import describe
    from infra.settings.identity import config_hash

    rows = [row for row in describe() if not changed or row.source != "default"]
    digest = config_hash(settings())
    if output is Format.JSON:
        values = {row.name: {"value": row.value, "source": row.source} for row in rows}
        print(json.dumps({"config_hash": digest, "settings": values}, indent=2, ensure_ascii=False))
        return
    _print_table(rows)
    print(f"config hash {digest}")


@app.command()
def example() -> None:
    """Print plaudit.example.toml: every setting, explained, at its default."""
    from infra.settings.describing import example_toml

    print(example_toml(), end="")


def _print_table(rows: "list[Description]") -> None:
    from rich.markup import escape
    from rich.table import Table

    from infra.settings.describing import toml_value

    table = Table("setting", "value", "set by", "meaning", box=None, header_style="bold")
    for row in rows:
        shown = "" if row.value is None else toml_value(row.value)
        style = "" if row.source == "default" else "bold green"
        table.add_row(row.name, escape(shown), escape(row.source), escape(row.doc), style=style)
    console().print(table)
