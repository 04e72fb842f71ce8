"""`plaudit audit`: who administered what, and when."""

import json
from typing import Annotated

import typer

from plaudit.commands.common import console, group, opened

app = group("The trail of administrative acts.")


@app.command("list")
def list_entries(
    action: Annotated[str | None, typer.Option(help="Only this action, or this kind: `key`, `person.erased`.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """The newest entries, oldest of them first. The whole trail is verified on the way."""
    from datetime import UTC, datetime

    from rich.markup import escape
    from rich.table import Table

    from ingest.access.service import audit_trail

    with opened("audit") as context:
        entries = audit_trail(context, action, limit)
    table = Table("#", "when (UTC)", "who", "what", "detail", box=None, header_style="bold")
    for entry in entries:
        when = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        detail = escape(json.dumps(entry.detail, ensure_ascii=False))
        table.add_row(str(entry.sequence), when, escape(entry.actor), entry.action, detail)
    console().print(table if entries else "no entries")
