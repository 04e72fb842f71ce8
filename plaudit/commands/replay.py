"""`plaudit replay`: recorded human judgments through the public API."""

from pathlib import Path
from typing import Annotated

import typer


def replay(
    file: Annotated[Path, typer.Argument(help="A recording, or the folder that holds it.", exists=True)],
    form: Annotated[str, typer.Option("--format", help="finegrained-rlhf, hh-rlhf or jsonl (docs/replay.md).")],
    url: Annotated[
        str, typer.Option(help="A feedback API that runs already; else one is started for the replay.")
    ] = "",
    data_dir: Annotated[
        Path | None, typer.Option(help="Data folder of the API started here; else `replay` in the data folder.")
    ] = None,
    send_only: Annotated[bool, typer.Option("--send-only", help="Send, and leave the training to others.")] = False,
    folds: Annotated[int, typer.Option(min=2, max=50, help="Folds of the cross-validation.")] = 10,
    report: Annotated[Path | None, typer.Option(help="Write the numbers to this JSON file.")] = None,
) -> None:
    """Send recorded human judgments through the public API, train a reward model, print its held-out accuracy."""
    from plaudit.commands.common import settings
    from plaudit.replay import run
    from plaudit.replay.run import ReplayOptions

    options = ReplayOptions(url=url.rstrip("/"), folder=data_dir, send_only=send_only, folds=folds, report=report)
    raise typer.Exit(run(settings(), file, form, options))
