"""`plaudit ingest`: the feedback API, its consumer, the label job, and what could not be applied."""

import typer

from plaudit.commands.common import group, settings
from plaudit.commands.jobs import run_once

app = group("Feedback: API, consumer, labels, dead letters.")


@app.command()
def api() -> None:
    """Run the feedback API alone."""
    from ingest.service import run

    run(settings())


@app.command()
def consume() -> None:
    """Read the log into the store until told to stop. Several may run: the log shares out its partitions."""
    from infra.runtime import Shutdown, configure_logging, open_context
    from ingest.consumer import FeedbackConsumer

    current = settings()
    configure_logging(current, process="ingest-consume")
    shutdown = Shutdown()
    shutdown.install()
    context = open_context(current)
    shutdown.add("context", context.close)
    try:
        FeedbackConsumer(context).run(shutdown.stop)
    finally:
        shutdown.close()


@app.command()
def label() -> None:
    """Close windows and remake labels that late events changed. Exit 0, 1 or 75 as `plaudit jobs run`."""
    raise typer.Exit(run_once("label"))
