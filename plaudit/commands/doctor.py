"""`plaudit doctor`: is everything in place, and if not, how to mend it."""

import typer

from plaudit.commands.common import console, settings

_MARKS = {"ok": "[green]ok  [/]", "note": "[yellow]note[/]", "fail": "[red]FAIL[/]"}


def doctor() -> None:
    """Check versions, folders, store, log, registry, model and ports; say how to mend each. Exit 1 on a failure."""
    from rich.markup import escape

    from plaudit.doctor import examine

    out = console()
    failed = False
    for finding in examine(settings()):
        out.print(f"{_MARKS[finding.status]} [bold]{finding.subject}[/]: {escape(finding.detail)}")
        if finding.remedy:
            out.print(f"       mend: {escape(finding.remedy)}")
        failed = failed or finding.status == "fail"
    if failed:
        raise typer.Exit(1)
