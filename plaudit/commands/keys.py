"""`plaudit keys`: API keys of programs, and the secret that turns user ids into user keys."""

from typing import Annotated

import typer

from plaudit.commands.common import console, group, opened

app = group("API keys: make one, list, rotate, revoke. And the secret behind user keys.")

Which = Annotated[str, typer.Argument(help="The key's id, or its name where only one live key has it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, as the list and the audit trail show it.")],
    scope: Annotated[
        list[str], typer.Option(help="infer, feedback, read, console:read or admin; may be given several times.")
    ],
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires; without: never.")] = None,
) -> None:
    """Make a key and print it. It is shown once: the store keeps only its hash."""
    from ingest.access.audit import operator
    from ingest.access.service import create_key

    lifetime = None if days is None else days * 86400.0
    with opened("keys") as context:
        key, secret = create_key(context, name, scope, actor=operator(), lifetime_seconds=lifetime)
    _show(secret, f"key {key.key_id} ({key.name}; {', '.join(sorted(key.scopes))})")


@app.command("list")
def list_keys() -> None:
    """Every key with its scopes and status, oldest first."""
    from rich.markup import escape
    from rich.table import Table

    from ingest.access.service import list_keys as find

    with opened("keys") as context:
        found, now = find(context), context.clock.now()
    table = Table("key", "name", "scopes", "status", "created", "expires", "last used", box=None, header_style="bold")
    for key in found:
        instants = (key.created_at, key.expires_at, key.last_used_at)
        scopes = ", ".join(sorted(key.scopes))
        table.add_row(key.key_id, escape(key.name), scopes, key.status(now), *map(_instant, instants))
    console().print(table if found else "no keys")


@app.command()
def rotate(
    key: Which,
    grace_minutes: Annotated[float, typer.Option(min=0, help="How long the former key goes on working.")] = 0.0,
) -> None:
    """Make a new key with the same name and scopes, print it, and end the former one."""
    from ingest.access.audit import operator
    from ingest.access.service import rotate_key

    with opened("keys") as context:
        made, secret = rotate_key(context, key, actor=operator(), grace_seconds=grace_minutes * 60.0)
    _show(secret, f"key {made.key_id} ({made.name})")


@app.command()
def revoke(key: Which) -> None:
    """End a key. Every process refuses it within `access.cache_seconds`."""
    from ingest.access.audit import operator
    from ingest.access.service import revoke_key

    with opened("keys") as context:
        ended = revoke_key(context, key, actor=operator())
        seconds = context.settings.access.cache_seconds
    print(f"key {ended.key_id} ({ended.name}) is revoked; refused everywhere within {seconds:g} s")


@app.command("rotate-user-secret")
def rotate_user_secret(
    force: Annotated[bool, typer.Option("--force", help="Also while an experiment runs.")] = False,
) -> None:
    """Make a new secret for user keys. People get new keys: their arms are drawn anew and their earlier votes count as
    somebody else's, but they are still found by `plaudit erase`. Restart the services afterwards."""
    from ingest.access.secrets import rotate_secret

    with opened("keys") as context:
        rotate_secret(context, force=force)
    print("a new secret holds from the next start of each service on; former ones are kept for erasure")


def _show(secret: str, what: str) -> None:
    print(secret)
    typer.echo(f"{what}; shown once, keep it now", err=True)


def _instant(seconds: float | None) -> str:
    from datetime import UTC, datetime

    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
