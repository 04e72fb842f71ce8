"""`plaudit policy-update`: the room's job, run by hand or by a CronJob."""

import typer

from plaudit.commands.common import group
from plaudit.commands.jobs import run_once

app = group("LoRA adapters by multi-objective GRPO.")


@app.callback()
def room() -> None:
    """LoRA adapters by multi-objective GRPO."""


@app.command()
def train() -> None:
    """Train an adapter against the reward model and put it before the gate. Exit codes: see `plaudit jobs run`."""
    raise typer.Exit(run_once("policy-update"))
