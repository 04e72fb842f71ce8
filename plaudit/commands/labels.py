"""`plaudit ingest labels | specification | compare-specifications | selection | validity`: what labels rest on."""

import contextlib
import datetime
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.commands.common import console, settings

if TYPE_CHECKING:
    from infra.runtime import Context


def labels(
    as_of: Annotated[
        str, typer.Option(metavar="TIME", help="ISO 8601 (UTC unless it says otherwise), or Unix seconds.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="JSON lines, one label each, sorted by answer.")],
) -> None:
    """Make the final labels of a past instant again, bit for bit, and name those whose rows are gone."""
    import msgspec

    from ingest.asof import labels_as_of

    instant = _instant(as_of)
    with _tool() as context, context.database.reading() as connection:
        made = labels_as_of(connection, context.settings.project, instant)
    with out.open("wb") as file:
        for label in made.labels:
            file.write(msgspec.json.encode(label, order="deterministic") + b"\n")
    for gone in made.missing:
        print(f"missing: {gone.response_id}#{gone.choice} version {gone.version}: {gone.reason}", file=sys.stderr)
    print(f"{len(made.labels)} labels as of {_told(instant)} in {out}; {len(made.missing)} cannot be made again")


def specification() -> None:
    """The versions of the reward specification labels were made by, and what the one in force gives weight to."""
    from rich.table import Table

    from ingest.specification.repository import SpecificationRepository
    from ingest.specification.versions import Specifications
    from ingest.validity.repository import ValidityRepository
    from ingest.validity.verdicts import refusals

    with _tool() as context, context.database.reading() as connection:
        versions = SpecificationRepository(connection, context.settings.project).versions()
        now = Specifications.of(context.settings.ingest)
        refused = refusals(now.in_force.objectives, ValidityRepository(connection, context.settings.project).newest())
    candidate = now.candidate.config_hash if now.candidate else ""
    roles = {candidate: "candidate", now.in_force.config_hash: "in force"}
    table = Table("version", "first used", "", box=None, header_style="bold")
    for version in versions:
        table.add_row(version.config_hash[:12], _told(version.first_used_at), roles.get(version.config_hash, ""))
    console().print(table if versions else "no labels have been made final yet")
    weights = Table("objective", "weight", "window", "signals", box=None, header_style="bold")
    for objective in now.in_force.objectives:
        weight = "0 (refused)" if objective.name in refused else f"{objective.weight:g}"
        signals = ", ".join(sorted(objective.signals)) if objective.signals is not None else "all it knows"
        weights.add_row(objective.name, weight, f"{objective.window_seconds:g} s", signals)
    console().print(weights)


def compare_specifications(
    limit: Annotated[int, typer.Option(min=1, help="Compare so many answers, the latest first.")] = 100_000,
) -> None:
    """The specification in force and the candidate beside it, objective by objective."""
    from rich.table import Table

    from ingest.specification.comparison import compare_now

    with _tool() as context:
        _, found = compare_now(context, limit)
    table = Table(
        "objective", "answers", "has value", "candidate has", "agree", "correlation", "mean", "candidate", "weight",
        "candidate", box=None, header_style="bold",
    )  # fmt: skip
    for one in found:
        table.add_row(
            one.objective,
            str(one.answers),
            str(one.in_force),
            str(one.candidate),
            _number(one.agree),
            _number(one.correlation),
            _number(one.mean_in_force),
            _number(one.mean_candidate),
            f"{one.weight_in_force:.4g}",
            f"{one.weight_candidate:.4g}",
        )
    console().print(table if found else "no answer has been labelled by both yet")


def selection() -> None:
    """Who votes, what that does to what is heard, and what silence could hide: the newest report of `propensity`."""
    from ingest.selection.repository import SelectionRepository

    with _tool() as context, context.database.reading() as connection:
        newest = SelectionRepository(connection, context.settings.project).newest()
    if newest is None:
        print("no model yet: run `plaudit jobs run propensity`; it says how many votes are missing")
        return
    version, fitted_at, _, report = newest
    console().print(f"model {version}, fitted {_told(fitted_at)}: {report['votes']} votes on {report['shown']} answers")
    if "rates" in report:
        _print_rates(report)
    _print_asked(report.get("asked"))


def validity() -> None:
    """Which short signals predict that people come back, and which weights are refused for want of evidence."""
    from rich.table import Table

    from ingest.labels import Labelling
    from ingest.validity.repository import ValidityRepository
    from ingest.validity.verdicts import refusals

    with _tool() as context, context.database.reading() as connection:
        newest = ValidityRepository(connection, context.settings.project).newest()
        objectives = Labelling.of(context.settings.ingest).objectives
    refused = refusals(objectives, newest)
    table = Table(
        "objective", "verdict", "effect on return", "interval", "people", "weight", "why", box=None, header_style="bold"
    )
    for objective in objectives:
        found = newest.get(objective.name)
        verdict = found.verdict if found else "no evidence yet"
        interval = f"{_number(found.low)} to {_number(found.high)}" if found else ""
        why = refused.get(objective.name) or (f"override: {objective.override}" if objective.override else "")
        weight = "0 (refused)" if objective.name in refused else f"{objective.weight:g}"
        effect = _number(found.effect) if found else ""
        people = str(found.people) if found else ""
        table.add_row(objective.name, verdict, effect, interval, people, weight, why)
    console().print(table)
    if not newest:
        print("no evidence yet: the job `validity` runs weekly, on people whose days 1 to 7 after an answer are over")


def register(app: typer.Typer) -> None:
    """Add the commands to `plaudit ingest`."""
    app.command("labels")(labels)
    app.command("specification")(specification)
    app.command("compare-specifications")(compare_specifications)
    app.command("selection")(selection)
    app.command("validity")(validity)


def _print_rates(report: dict[str, Any]) -> None:
    from rich.table import Table

    level = f"{report['confidence']:.0%} interval"
    table = Table("liked", "rate", level, box=None, header_style="bold")
    for name, one in report["rates"].items():
        table.add_row(name, _number(one["value"]), f"{_number(one['low'])} to {_number(one['high'])}")
    bounds = Table("bounds", "from", "to", level, box=None, header_style="bold")
    for name, one in report["bounds"].items():
        interval = f"{_number(one['least'])} to {_number(one['most'])}"
        bounds.add_row(name, _number(one["low"]), _number(one["high"]), interval)
    console().print(table)
    console().print(bounds)
    model = report["model"]
    print(
        f"effective sample size {report['effective_sample_size']:.0f}, {report['clipped']:.1%} of the weights clipped; "
        f"model: AUROC {model['auroc']:.3f}, Brier skill {model['brier_skill']:.3f}, slope {model['raw_slope']:.2f}"
    )


def _print_asked(asked: dict[str, Any] | None) -> None:
    if asked is None:
        print("nobody was asked at random (ingest.solicitation.rate): the opinion of the silent is bounded, not known")
    elif "rate" not in asked:
        print(f"{asked['asked']} people were asked at random, none answered")
    else:
        rate = asked["rate"]
        told = f"{_number(rate['value'])} ({_number(rate['low'])} to {_number(rate['high'])})"
        whatever = f"{_number(asked['low'])} to {_number(asked['high'])}"
        print(
            f"asked at random: {asked['asked']}, {asked['answered']:.0%} answered: liked {told}; whatever the others "
            f"think, {whatever}; opinion multiplies the odds of voting by {_number(asked['odds_ratio'])}"
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _told(instant: float) -> str:
    return datetime.datetime.fromtimestamp(instant, datetime.UTC).isoformat(timespec="seconds")


def _instant(text: str) -> float:
    """Unix seconds of what a person wrote. Raises InvalidInstant."""
    from ingest.asof import InvalidInstant

    try:
        return float(text)
    except ValueError:
        pass
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInstant(
            f"--as-of is {text!r}; give ISO 8601, as 2026-11-21T08:00:00+00:00, or Unix seconds", field="as_of"
        ) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp()


@contextlib.contextmanager
def _tool() -> "Iterator[Context]":
    """A context for a command whose standard output is its answer: the log goes to standard error."""
    from infra.runtime import configure_logging, open_context

    current = settings()
    configure_logging(current, process="ingest", stream=sys.stderr)
    context = open_context(current)
    try:
        yield context
    finally:
        context.close()
