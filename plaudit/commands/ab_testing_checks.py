"""`plaudit ab-testing`: whether what decides can be trusted, and what later labels would have said."""

from typing import Annotated

import typer

from plaudit.commands.common import console, opened, settings
from plaudit.commands.witness import witness


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command("self-test")(self_test)
    app.command()(acknowledge)
    app.command()(sensitivity)


def self_test() -> None:
    """Inject effects of known sign into simulated people; exit 1 unless each is found as what it is."""
    from ab_testing.self_test import self_test as run

    found = run(settings().ab_testing)
    for failure in found.failures:
        console().print(failure, markup=False)
    console().print(f"{found.checked - len(found.failures)} of {found.checked} injected effects found as what they are")
    if found.failures:
        raise typer.Exit(1)


def acknowledge(reason: Annotated[str, typer.Option(help="What was found; stands in the ledger for ever.")]) -> None:
    """Take the sentinel's alarm as read, so that promotions may go on."""
    from ab_testing.sentinel import acknowledge as take

    with opened("ab-testing") as context:
        for alarm in take(context, reason, witness(context, "sentinel.acknowledge", reason)):
            console().print(f"acknowledged: {alarm}", markup=False)


def sensitivity(
    experiment: Annotated[str | None, typer.Option(help="Its id; by default the newest challenge.")] = None,
) -> None:
    """What labels that changed after people were counted would make of each effect; nothing decides by it."""
    from ab_testing.control import NoSuchExperiment
    from ab_testing.repository import ExperimentRepository
    from ab_testing.sensitivity import sensitivity as compare

    with opened("ab-testing") as context, context.database.reading() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        found = repository.newest() if experiment is None else repository.experiment(experiment)
        if found is None:
            raise NoSuchExperiment(
                "there is no experiment yet" if experiment is None else f"there is no experiment {experiment!r}",
                field="experiment",
            )
        rows = compare(connection, found)
    for row in rows:
        console().print(
            f"{row.metric} ({row.arm}): effect {_number(row.effect_counted)} as counted, {_number(row.effect_now)} "
            f"with the labels of now; {row.changed} of {row.people} people changed",
            markup=False,
        )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:+.4f}"
