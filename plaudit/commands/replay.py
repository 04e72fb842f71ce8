"""`plaudit replay`: recorded human judgments through the public API."""

from pathlib import Path
from typing import Annotated

import typer


def replay(
    file: Annotated[Path, typer.Argument(help="A recording, or the folder that holds it.", exists=True)],
    form: Annotated[str, typer.Option("--format", help="finegrained-rlhf, hh-rlhf or jsonl.")],
) -> None:
    """Send recorded human judgments through the public API, train a reward model, print its held-out accuracy."""
    from plaudit.commands.common import settings
    from plaudit.replay import run

    raise typer.Exit(run(settings(), file, form))
