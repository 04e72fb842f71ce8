"""`plaudit ab-testing`: the room's job, run by hand or by a CronJob; what runs, why, and a person's word about it."""

from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands import ab_testing_checks, ab_testing_plan
from plaudit.commands.common import console, group, opened
from plaudit.commands.jobs import run_once
from plaudit.commands.witness import witness as _witness

if TYPE_CHECKING:
    from ab_testing.control import Command

app = group("Experiments and decisions.")


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
    to_base: Annotated[
        bool, typer.Option("--to-base", help="To the base model, as before another one is served; see docs/serving.md.")
    ] = False,
) -> None:
    """Go back to the champion before, now: a pointer move to an adapter that is still loaded."""
    from ab_testing.effects import revert_champion

    with opened("ab-testing") as context:
        decision = revert_champion(context, reason, _witness(context, "champion.revert", reason), to_base=to_base)
    console().print(f"decision {decision.sequence}: {decision.reason}")


@app.command()
def promote(
    adapter: Annotated[str, typer.Argument(help="name@version of one that passed the gate.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the ledger for ever.")],
) -> None:
    """Make an adapter the champion now, without an experiment; the champion before stays loaded."""
    from ab_testing.by_hand import promote_by_hand

    with opened("ab-testing") as context:
        decision = promote_by_hand(context, adapter, reason, _witness(context, "champion.promote", reason))
    console().print(f"decision {decision.sequence}: {decision.reason}")


@app.command()
def status() -> None:
    """What runs: arms, people, rates, e-values beside what they must reach, what it waits for, and for how long."""
    from ab_testing.looking import current_watermark
    from ab_testing.status import running_now
    from plaudit.commands.ab_testing_view import show_running

    with opened("ab-testing") as context:
        watermark = current_watermark(context)
        with context.database.reading() as connection:
            found = running_now(context, connection, watermark)
        if not found:
            console().print("no experiment runs")
        for running in found:
            show_running(console(), running, context.clock.now(), watermark)


@app.command()
def explain(
    decision: Annotated[str, typer.Argument(help="Its sequence number or its id.")],
) -> None:
    """One decision in words and numbers: rates, e-values, boundaries, people, probabilities, budget, hashes."""
    from ab_testing.status import explained, find_decision
    from plaudit.commands.ab_testing_view import show_decision

    with opened("ab-testing") as context, context.database.reading() as connection:
        row = find_decision(connection, context.settings.project, decision)
        show_decision(console(), row, explained(row))


Experiment = Annotated[str | None, typer.Option(help="Its id; by default the challenge that runs.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the ledger for ever.")]


@app.command()
def pause(reason: Reason, experiment: Experiment = None) -> None:
    """Let nobody's arm change: ramp, promotion and deadline wait; harm still takes back."""
    _command("pause", reason, experiment)


@app.command()
def resume(reason: Reason, experiment: Experiment = None) -> None:
    """Go on after a pause; the time it took does not count."""
    _command("resume", reason, experiment)


@app.command()
def abort(
    reason: Reason,
    experiment: Experiment = None,
    keep: Annotated[bool, typer.Option("--keep", help="The challenger waits again instead of being rejected.")] = False,
) -> None:
    """End an experiment now; the champion stays."""
    _command("abort", reason, experiment, keep=keep)


@app.command("verify-ledger")
@app.command("verify", hidden=True)
def verify_ledger(
    replay: Annotated[
        bool, typer.Option("--replay", help="Also make every row again from the frozen values, and compare the bytes.")
    ] = False,
) -> None:
    """Check the hash chain of the whole ledger of decisions; prints its newest hash, to be kept elsewhere.

    With --replay exit 1 when a row does not follow from what it rests on; rows of erased people are named.
    """
    from ab_testing.ledger import verify_chain
    from ab_testing.replay import replay_ledger
    from ab_testing.repository import ExperimentRepository

    with opened("ab-testing") as context, context.database.reading() as connection:
        project = context.settings.project
        if not replay:
            rows = ExperimentRepository(connection, project).decisions()
            console().print(f"{len(rows)} decisions, unbroken; newest hash {verify_chain(rows)}")
            return
        found = replay_ledger(connection, project)
    console().print(
        f"{found.rows} decisions, unbroken; {found.again} come to again, {found.taken} as they were given; "
        f"newest hash {found.newest_hash}"
    )
    for line in (*found.erased, *found.differing):
        console().print(line, markup=False)
    if found.differing:
        raise typer.Exit(1)


def _command(what: "Command", reason: str, experiment: str | None, *, keep: bool = False) -> None:
    from ab_testing.control import command

    with opened("ab-testing") as context:
        witness = _witness(context, f"experiment.{what}", reason)
        decision = command(context, what, reason, experiment, keep=keep, witness=witness)
    console().print(f"decision {decision.sequence}: {decision.reason}")


ab_testing_plan.register(app)
ab_testing_checks.register(app)
