"""`plaudit config`: what is set, to what, and by whom."""

import json
from enum import StrEnum
from pathlib import Path
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


@app.command()
def rules(
    scale: Annotated[
        float, typer.Option(min=1e-6, help="1: real time; 0.0166667: a minute of the deployment is a second.")
    ] = 1.0,
    scrape_seconds: Annotated[
        float, typer.Option(min=0.0, help="Scrape interval; no range is made shorter than four of it.")
    ] = 0.0,
) -> None:
    """Print the rules and alerts for Prometheus, as infra/deploy/prometheus/rules.yml has them in real time."""
    from plaudit.monitoring.promql import Scale
    from plaudit.monitoring.rules import rules_file

    print(rules_file(settings(), Scale(scale, 4 * scrape_seconds)), end="")


@app.command()
def dashboards(folder: Annotated[Path, typer.Argument(help="Where to write one JSON file a dashboard.")]) -> None:
    """Write the dashboards for Grafana, as infra/deploy/grafana/dashboards has them."""
    from plaudit.monitoring.dashboards import DASHBOARDS

    folder.mkdir(parents=True, exist_ok=True)
    for board in DASHBOARDS:
        (folder / f"{board.uid}.json").write_text(board.text(), encoding="utf-8")
    print(f"{len(DASHBOARDS)} dashboards in {folder}")


@app.command()
def metrics() -> None:
    """Print docs/metrics.md: every metric, explained."""
    from plaudit.monitoring.page import metrics_page

    print(metrics_page(), end="")


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
