"""`plaudit doctor`: is everything in place, and if not, how to mend it."""

from typing import Annotated

import typer

from plaudit.commands.common import console, settings

_MARKS = {"ok": "[green]ok  [/]", "note": "[yellow]note[/]", "fail": "[red]FAIL[/]"}


def doctor(
    production: Annotated[
        bool, typer.Option("--production", help="Also what a deployment that others depend on must have.")
    ] = False,
    public_url: Annotated[
        str, typer.Option(help="With --production: where callers reach the gateway, https://...; it is asked.")
    ] = "",
) -> None:
    """Check versions, folders, store, log, registry, model and ports; say how to mend each. Exit 0: nothing fails
    (notes are advice); 1: something does."""
    from rich.markup import escape

    from plaudit.doctor import examine
    from plaudit.production import production_checks

    out = console()
    failed = False
    for finding in examine(settings(), production_checks(public_url) if production else ()):
        out.print(f"{_MARKS[finding.status]} [bold]{finding.subject}[/]: {escape(finding.detail)}")
        if finding.setting:
            out.print(f"       setting: {escape(finding.setting)} = {escape(finding.value)}")
        if finding.remedy:
            out.print(f"       mend: {escape(finding.remedy)}")
        failed = failed or finding.status == "fail"
    if failed:
        raise typer.Exit(1)
