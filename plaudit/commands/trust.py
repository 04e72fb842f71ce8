"""`plaudit ingest trust` and `plaudit ingest honeypots`: who taught the model, and pairs of a known better answer."""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.commands.common import console, group, settings

if TYPE_CHECKING:
    from infra.runtime import Context
    from ingest.trust.service import Report

honeypots = group("Pairs of answers whose better one is known: who cannot tell is not looking.")

KEY_CHARACTERS = 10
"""So much of a user key is shown: enough to tell people apart, too little to look one up."""


def trust(
    days: Annotated[float, typer.Option(min=0.01, help="Look back so many days.")] = 7.0,
    top: Annotated[int, typer.Option(min=1, help="Show so many people, the heaviest first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Who taught the model lately, how concentrated it was, and who is in quarantine and why."""
    from ingest.trust.service import report_now

    with _tool() as context:
        report = report_now(context, days)
    if as_json:
        print(json.dumps(_document(report, days, top), indent=2))
    else:
        _print(report, days, top)


@honeypots.command("list")
def list_honeypots(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are no longer shown.")] = False,
) -> None:
    """The honeypots in use."""
    from rich.markup import escape
    from rich.table import Table

    from ingest.trust.honeypots import list_honeypots as find

    with _tool() as context:
        found = find(context, in_use=not everything)
    table = Table("honeypot", "better", "worse", "reason", "in use", box=None, header_style="bold")
    for one in found:
        better, worse = (f"{answer[0]}#{answer[1]}" for answer in (one.better, one.worse))
        table.add_row(one.honeypot_id, better, worse, escape(one.reason), "no" if one.retired_at else "yes")
    console().print(table if found else "no honeypots")


@honeypots.command("add")
def add_honeypot(
    better: Annotated[str, typer.Argument(help="Response id of the better answer.")],
    worse: Annotated[str, typer.Argument(help="Response id of the worse answer.")],
    reason: Annotated[str, typer.Option(help="Why the one is known to be better.")],
    better_choice: Annotated[int, typer.Option(min=0, help="Its choice, where a response has several answers.")] = 0,
    worse_choice: Annotated[int, typer.Option(min=0, help="The same for the worse answer.")] = 0,
) -> None:
    """Keep two known answers as a honeypot; duels between them are scored from the next estimate on."""
    from ingest.trust.honeypots import add_honeypot as add

    with _tool() as context:
        made = add(context, (better, better_choice), (worse, worse_choice), reason)
    print(made.honeypot_id)


@honeypots.command("retire")
def retire_honeypot(honeypot_id: Annotated[str, typer.Argument(help="As `honeypots list` shows it.")]) -> None:
    """Show a honeypot no more. The duels it had still count."""
    from ingest.trust.honeypots import retire_honeypot as retire

    with _tool() as context:
        retire(context, honeypot_id)
    print(f"{honeypot_id} is retired")


def _document(report: "Report", days: float, top: int) -> dict[str, Any]:
    """The report as plain JSON."""
    from dataclasses import asdict

    return {
        "days": days,
        "since": report.since,
        "until": report.until,
        "concentration": asdict(report.weighted),
        "concentration_unweighted": asdict(report.raw),
        "teachers": [
            {
                "person": one.user_key[:KEY_CHARACTERS],
                "votes": one.votes,
                "weight": one.mass / one.votes,
                "share": one.mass / report.weighted.mass if report.weighted.mass else 0.0,
                "reliability": one.trust.reliability if one.trust else None,
            }
            for one in report.teachers[:top]
        ],
        "quarantined": [
            {"person": one.user_key[:KEY_CHARACTERS], "votes": one.votes, "reasons": list(one.reasons)}
            for one in report.quarantined
        ],
    }


def _print(report: "Report", days: float, top: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console()
    if not report.teachers:
        out.print(f"nobody taught the model in the last {days:g} days")
    else:
        table = Table("person", "votes", "weight of each", "share", "reliability", box=None, header_style="bold")
        for one in report.teachers[:top]:
            known = one.trust
            interval = (
                f"{known.reliability:.2f} ({known.reliability_low:.2f}-{known.reliability_high:.2f})"
                if known
                else "not yet estimated"
            )
            share = one.mass / report.weighted.mass if report.weighted.mass else 0.0
            name = one.user_key[:KEY_CHARACTERS]
            table.add_row(name, str(one.votes), f"{one.mass / one.votes:.2f}", f"{share:.1%}", interval)
        out.print(table)
        for name, some in (("weighted", report.weighted), ("votes as they came", report.raw)):
            out.print(
                f"{name}: {some.people} people as {some.effective:.1f} equal ones; the ten heaviest have"
                f" {some.top_share:.1%}; Gini {some.gini:.2f}"
            )
    if report.quarantined:
        table = Table("in quarantine", "votes", "why", box=None, header_style="bold")
        for person in report.quarantined[: max(top, 20)]:
            table.add_row(person.user_key[:KEY_CHARACTERS], str(person.votes), escape("; ".join(person.reasons)))
        out.print(table)
        hidden = len(report.quarantined) - max(top, 20)
        if hidden > 0:
            out.print(f"and {hidden} more (--json shows all)")


@contextlib.contextmanager
def _tool() -> "Iterator[Context]":
    """A context for a command whose standard output is its answer: the log goes to standard error."""
    from infra.runtime import configure_logging, open_context

    current = settings()
    configure_logging(current, process="trust", stream=sys.stderr)
    context = open_context(current)
    try:
        yield context
    finally:
        context.close()
