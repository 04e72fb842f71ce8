"""`plaudit ab-testing`: the room's job, run by hand or by a CronJob."""

from typing import Annotated

import typer

from plaudit.commands import ab_testing_checks
from plaudit.commands.common import console, group
from plaudit.commands.jobs import run_once

app = group("Experiments and decisions.")
ab_testing_checks.register(app)


@app.callback()
def room() -> None:
    """Experiments and decisions."""


@app.command()
def decide() -> None:
    """Look at the running experiment: start, hold, ramp, promote or roll back. Exit codes: see `plaudit jobs run`."""
    raise typer.Exit(run_once("decide"))


@app.command()
def revert(
    reason: Annotated[str, typer.Option(help="Why; stands in the ledger for ever.")],
) -> None:
    """Go back to the champion before, now: a pointer move to an adapter that is still loaded."""
    from ab_testing.effects import revert_champion
    from infra.runtime import open_context
    from infra.settings import load_settings

    context = open_context(load_settings())
    try:
        decision = revert_champion(context, reason)
    finally:
        context.close()
    console().print(f"decision {decision.sequence}: {decision.reason}")


@app.command()
def verify() -> None:
    """Check the hash chain of the whole ledger of decisions; prints its newest hash, to be kept elsewhere."""
    from ab_testing.ledger import verify_chain
    from ab_testing.repository import ExperimentRepository
    from infra.db import Database
    from infra.settings import load_settings

    settings = load_settings()
    database = Database.open(settings.store_url)
    try:
        with database.reading() as connection:
            rows = ExperimentRepository(connection, settings.project).decisions()
    finally:
        database.close()
    console().print(f"{len(rows)} decisions, unbroken; newest hash {verify_chain(rows)}")
