"""`plaudit ab-testing`: the room's job, run by hand or by a CronJob."""

import typer

from plaudit.commands.common import group
from plaudit.commands.jobs import run_once

app = group("Experiments and decisions.")


@app.callback()
def room() -> None:
    """Experiments and decisions."""


@app.command()
def decide() -> None:
    """Look at the running experiment: start, hold, ramp, promote or roll back. Exit codes: see `plaudit jobs run`."""
    raise typer.Exit(run_once("decide"))
