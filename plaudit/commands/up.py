"""`plaudit up`: everything on one machine."""

from typing import Annotated

import typer


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: serving.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: serving.port.")] = None,
) -> None:
    """Run everything here: gateway, feedback API, consumer, and the jobs on schedule. Ctrl-C ends it in order."""
    from infra.settings import load_settings
    from plaudit.up import run

    run(load_settings(overrides=listening(host, port)))


def listening(host: str | None, port: int | None) -> dict[str, object]:
    """The settings that `--host` and `--port` stand for."""
    given = {"serving.host": host, "serving.port": port}
    return {name: value for name, value in given.items() if value is not None}
