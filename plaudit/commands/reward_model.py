"""`plaudit reward-model`: the room's job, run by hand or by a CronJob."""

import typer

from plaudit.commands.common import group
from plaudit.commands.jobs import run_once

app = group("Robust reward models.")


@app.callback()
def room() -> None:
    """Robust reward models."""


@app.command()
def train() -> None:
    """Train on the labels there are, or say how many are missing. Exit codes: see `plaudit jobs run`."""
    raise typer.Exit(run_once("reward-model"))
