"""`plaudit ingest`: the feedback API, its consumer, the label job, and what could not be applied."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands import labels as label_commands
from plaudit.commands import trust
from plaudit.commands.common import console, group, settings
from plaudit.commands.jobs import run_once
from plaudit.commands.schedule import OperationsHost, OperationsPort

if TYPE_CHECKING:
    from infra.runtime import Context

app = group("Feedback: API, consumer, labels, dead letters.")
letters = group("Events that could not be applied: list them, look at one, send it again, drop it.")
app.add_typer(letters, name="dead-letters")
app.add_typer(trust.honeypots, name="honeypots")
app.command("trust")(trust.trust)
label_commands.register(app)

LetterId = Annotated[str, typer.Argument(help="As `plaudit ingest dead-letters list` shows it.")]


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8001,
) -> None:
    """Run the feedback API alone, without a gateway. A 202 means that the events are durable in the log."""
    import uvicorn

    from infra.runtime.collector import ease_collector
    from ingest.api import build_app

    context = _open("ingest-api")
    try:
        # One worker a process: more traffic is for more replicas.
        # No line a request: the metrics count them, and a line would cost as much as the request.
        app = build_app(context)
        ease_collector()
        uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=20)
    finally:
        context.close()


@app.command()
def consume(operations_host: OperationsHost = "127.0.0.1", operations_port: OperationsPort = 0) -> None:
    """Read the log into the store until told to stop. Several may run: the log shares out its partitions."""
    from infra.runtime import Health, Shutdown
    from infra.runtime.collector import ease_collector
    from ingest.consumer import FeedbackConsumer
    from plaudit.operations import operations

    shutdown = Shutdown()
    shutdown.install()
    context = _open("ingest-consume")
    shutdown.add("context", context.close)
    consumer, health = FeedbackConsumer(context), Health()
    health.add("store", context.database.healthy)
    health.add("event_log", context.event_log.healthy)
    ease_collector()
    try:
        with operations(health, operations_host, operations_port, consumer.alive):
            consumer.run(shutdown.stop)
    finally:
        shutdown.close()


@app.command()
def label() -> None:
    """Close windows and remake labels that late events changed. Exit codes: see `plaudit jobs run`."""
    raise typer.Exit(run_once("label"))


@app.command()
def openapi(
    schema: Annotated[
        str | None, typer.Option(help="Only this schema, as JSON Schema: FeedbackEvent, Label, ...")
    ] = None,
) -> None:
    """Print the OpenAPI 3.1 document of the feedback API, or one JSON Schema out of it."""
    import json

    from ingest.schemas.components import components, json_schema
    from ingest.schemas.openapi import encoded

    if schema is None:
        sys.stdout.write(encoded().decode())
    elif schema in (known := components()):
        print(json.dumps(json_schema(schema), indent=1))
    else:
        raise typer.BadParameter(f"no schema {schema!r}: one of {', '.join(known)}", param_hint="--schema")


@letters.command("list")
def list_letters(
    everything: Annotated[bool, typer.Option("--all", help="Also those sent again or dropped.")] = False,
    reason: Annotated[str | None, typer.Option(help="Only this reason: undecodable, conflict or unstorable.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 100,
) -> None:
    """What could not be applied, and why."""
    from rich.markup import escape
    from rich.table import Table

    from ingest.dead_letters import list_letters as find

    with _tool() as context:
        found = find(context, None if everything else "open", reason, limit)
    table = Table("letter", "status", "reason", "detail", box=None, header_style="bold")
    for letter, status in found:
        table.add_row(letter.letter_id, status, letter.reason, escape(letter.detail))
    console().print(table if found else "no dead letters")


@letters.command()
def show(letter_id: LetterId) -> None:
    """Where one letter came from, and its bytes as they arrived."""
    from ingest.dead_letters import show_letter

    with _tool() as context:
        letter, status = show_letter(context, letter_id)
    print(f"{letter.letter_id}  {status}  {letter.reason}: {letter.detail}")
    print(f"{letter.topic}, partition {letter.partition}, offset {letter.log_offset}, position {letter.position}")
    print(letter.raw.decode(errors="backslashreplace"))


@letters.command()
def replay(letter_id: LetterId) -> None:
    """Append one letter to the log again, for when the cause is gone; otherwise it comes back as a new letter."""
    from ingest.dead_letters import replay_letter

    with _tool() as context:
        replay_letter(context, letter_id)
    print(f"{letter_id} is on the log again")


@letters.command()
def drop(letter_id: LetterId) -> None:
    """Mark one letter as dropped. Its bytes are kept."""
    from ingest.dead_letters import drop_letter

    with _tool() as context:
        drop_letter(context, letter_id)
    print(f"{letter_id} is dropped")


def _open(process: str) -> "Context":
    from infra.runtime import configure_logging, open_context

    current = settings()
    configure_logging(current, process=process)
    return open_context(current)


@contextlib.contextmanager
def _tool() -> "Iterator[Context]":
    """A context for a command whose standard output is its answer: the log goes to standard error."""
    from infra.runtime import configure_logging, open_context

    current = settings()
    configure_logging(current, process="dead-letters", stream=sys.stderr)
    context = open_context(current)
    try:
        yield context
    finally:
        context.close()
