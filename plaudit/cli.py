"""The command `plaudit`. Importing this module is cheap: whatever is heavy is imported inside the commands."""

import os
from pathlib import Path
from typing import Annotated

import typer

from infra.contracts.errors import PlauditError
from plaudit.commands import (
    ab_testing,
    audit,
    config,
    demo,
    export,
    ingest,
    jobs,
    keeping,
    keys,
    models,
    policy_update,
    replay,
    reward_model,
    serving,
)
from plaudit.commands.common import fail
from plaudit.commands.doctor import doctor
from plaudit.commands.erase import erase
from plaudit.commands.load import load
from plaudit.commands.migrate import migrate
from plaudit.commands.schedule import schedule
from plaudit.commands.serve import serve
from plaudit.commands.up import up

app = typer.Typer(
    name="plaudit",
    help="Closes the loop between an LLM and the people who use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command(rich_help_panel="Everything on one machine")(up)
app.command(rich_help_panel="Everything on one machine")(demo.demo)
app.command(rich_help_panel="Everything on one machine")(replay.replay)
app.command(rich_help_panel="Services")(serve)
app.add_typer(serving.app, name="serving", rich_help_panel="Services")
app.add_typer(ingest.app, name="ingest", rich_help_panel="Services")
app.add_typer(reward_model.app, name="reward-model", rich_help_panel="Jobs")
app.add_typer(policy_update.app, name="policy-update", rich_help_panel="Jobs")
app.add_typer(ab_testing.app, name="ab-testing", rich_help_panel="Jobs")
jobs.app.command()(schedule)
app.add_typer(jobs.app, name="jobs", rich_help_panel="Jobs")
app.add_typer(keys.app, name="keys", rich_help_panel="Access and rights")
app.command(rich_help_panel="Access and rights")(erase)
app.add_typer(export.app, name="export", rich_help_panel="Access and rights")
app.add_typer(audit.app, name="audit", rich_help_panel="Access and rights")
app.command(rich_help_panel="House-keeping")(doctor)
app.command(rich_help_panel="House-keeping")(load)
app.command(rich_help_panel="House-keeping")(migrate)
app.command(rich_help_panel="House-keeping")(keeping.backup)
app.command(rich_help_panel="House-keeping")(keeping.restore)
app.add_typer(config.app, name="config", rich_help_panel="House-keeping")
app.add_typer(models.app, name="models", rich_help_panel="House-keeping")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(metadata.version("plaudit"))
        raise typer.Exit


@app.callback()
def root(
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file; default $PLAUDIT_CONFIG, else ./plaudit.toml."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of every command."""
    if config_file is not None:
        # Through the environment, so that child processes of this command read the same file.
        os.environ["PLAUDIT_CONFIG"] = str(config_file.absolute())


def main() -> None:
    """Entry point: an expected failure ends in one line and exit 2, never in a traceback."""
    # Read when torch is loaded. Threads that spin for long while they wait for each other slow generation down badly
    # as soon as another process is busy; threads that sleep at once slow it down on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        app()
    except PlauditError as error:
        fail(error)
