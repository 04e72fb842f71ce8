"""`plaudit load`: load on any OpenAI-compatible server, and what its users feel of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.common import console

if TYPE_CHECKING:
    from plaudit.load.report import Document

_FAILED = 1


def load(
    url: Annotated[str, typer.Argument(help="http://HOST:PORT, with or without /v1.")] = "http://127.0.0.1:8080",
    model: Annotated[str, typer.Option(help="Model to ask for.")] = "plaudit",
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Sent as Bearer token.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Closed loop: clients that ask one after the other.")] = 8,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Open loop: requests per second, whatever becomes of them.")
    ] = None,
    steady: Annotated[bool, typer.Option("--steady", help="Open loop: equal intervals, not random ones.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long requests are begun.")] = 30.0,
    stream: Annotated[bool, typer.Option("--stream/--plain", help="Streamed or plain answers.")] = True,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length limit of each answer.")] = 64,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts: one a line, or .jsonl of messages or prompt; without: built in.")
    ] = None,
    users: Annotated[int, typer.Option(min=0, help="Spread over so many user ids; 0: without a user.")] = 0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a request counts as failed.")] = 120.0,
    in_flight: Annotated[int, typer.Option(min=1, help="Open loop: requests under way at most.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the prompts' order and of random arrivals.")] = 0,
    max_error_share: Annotated[float, typer.Option(min=0, max=1, help="Exit 1 above this share of errors.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Put load on an OpenAI-compatible server from outside and report latency, time to first token, tokens and errors.

    Exit 1 when more than `--max-error-share` failed, or nothing was answered.
    """
    from rich.console import Console

    from plaudit.load.plan import Plan, read_prompts
    from plaudit.load.service import put_load

    plan = Plan(
        url=url, model=model, api_key=api_key, concurrency=concurrency, rate=rate, steady=steady, seconds=seconds,
        stream=stream, max_tokens=max_tokens, users=users, timeout_seconds=timeout, in_flight=in_flight, seed=seed,
    )  # fmt: skip
    document = put_load(plan, read_prompts(prompts), Console(stderr=True))
    _show(document, as_json)
    if document["error_share"] > max_error_share or document["requests"] == document["errors"]:
        raise typer.Exit(_FAILED)


def _show(document: "Document", as_json: bool) -> None:
    import json

    from plaudit.load.report import tables

    if as_json:
        print(json.dumps(document, indent=1))
        return
    for table in tables(document):
        console().print(table)
