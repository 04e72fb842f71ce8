"""`plaudit serve`: the gateway alone."""

from typing import Annotated

import typer

from plaudit.commands.up import listening


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: serving.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: serving.port.")] = None,
) -> None:
    """Run the OpenAI-compatible gateway. Ready when the adapter it serves is proven."""
    from infra.settings import load_settings
    from plaudit.jobs import all_jobs
    from plaudit.monitoring.gauges import store_gauges
    from serving.app import serve as run

    run(load_settings(overrides=listening(host, port)), lambda context: store_gauges(context, all_jobs()))
