"""`plaudit demo`: the closed loop, shown."""

from pathlib import Path
from typing import Annotated

import typer

from plaudit.demo.options import DemoOptions

_USUAL = DemoOptions()


def demo(
    seed: Annotated[
        int, typer.Option(help="Which simulated people come, and every random draw of training.")
    ] = _USUAL.seed,
    folder: Annotated[
        Path, typer.Option(help="Where data, logs and the report go; an earlier demo's is replaced.")
    ] = _USUAL.folder,
    people: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="People who meet the base model before anything is learned.",
            show_default=f"{_USUAL.people_before}; fewer on a slow machine where --steps is not given either",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most training steps of the adapter.",
            show_default=f"{_USUAL.steps}; fewer on a slow machine where --people is not given either",
        ),
    ] = None,
) -> None:
    """Run the whole loop with simulated people on the real system, and report. Exit 1 if the loop did not close."""
    from plaudit.demo.run import run

    raise typer.Exit(run(DemoOptions(seed=seed, folder=folder), people=people, steps=steps))
