"""`plaudit reward-model`: train by hand or by a CronJob; measure, compare and explain what was trained."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plaudit.commands.common import console, group, opened
from plaudit.commands.jobs import run_once

if TYPE_CHECKING:
    from reward_model.asking import Compared, Evaluated
    from reward_model.explain import Explained
    from reward_model.offline_online import OfflineOnline

app = group("Robust reward models.")

_SHOWN = 100
"""Characters of an answer in a table."""
_CHOICES = 2**31 - 1
"""The largest number that a store's column of choices can hold."""
_VERSION = "champion, newest, a number, or name@number."
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@app.callback()
def room() -> None:
    """Robust reward models."""


@app.command()
def train() -> None:
    """Train on the labels there are, or say how many are missing. Exit codes: see `plaudit jobs run`."""
    raise typer.Exit(run_once("reward-model"))


@app.command()
def evaluate(
    version: Annotated[str, typer.Argument(help=_VERSION)] = "champion",
    as_json: AsJson = False,
) -> None:
    """Measure a version on the labels there are now, those it learned from left out."""
    from reward_model.asking import evaluate_version

    with opened("reward-model") as context:
        found = evaluate_version(context, version)
    _print_json(found.document()) if as_json else _print_evaluated(found)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help=_VERSION)],
    b: Annotated[str, typer.Argument(help="The one to beat.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Compare two versions on what neither learned from, by the test that makes champions."""
    from reward_model.asking import compare_versions

    with opened("reward-model") as context:
        found = compare_versions(context, a, b)
    _print_json(found.document()) if as_json else _print_compared(found)


@app.command()
def explain(
    response_id: Annotated[str, typer.Argument(help="As the API returned it.")],
    choice: Annotated[int, typer.Option(min=0, max=_CHOICES, help="Where a response has several answers.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Why an answer is worth what the reward model says: value, spread, label, length, neighbours, other version."""
    from reward_model.explain import explain as ask

    with opened("reward-model") as context:
        found = ask(context, response_id, choice)
    _print_json(found.document()) if as_json else _print_explained(found)


@app.command("offline-online")
def offline_online(
    objective: Annotated[str, typer.Option(help="Whose predicted and realised rates.")] = "love",
    as_json: AsJson = False,
) -> None:
    """What was predicted of past candidates against what people did, and how far the gate may be trusted."""
    from reward_model.offline_online_service import fill_points, report

    with opened("reward-model") as context:
        fill_points(context)
        with context.database.reading() as connection:
            found = report(connection, context.settings.project, objective)
    _print_json(found.document()) if as_json else _print_offline_online(found, objective)


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2))


def _print_evaluated(found: "Evaluated") -> None:
    from rich.markup import escape
    from rich.table import Table

    out, document = console(), found.examined.document
    table = Table("head", "judgments", "AUROC or accuracy", "skill", "debiased error", box=None, header_style="bold")
    for head, measured in document["heads"].items():
        quality = measured.get("auroc") if "auroc" in measured else measured.get("accuracy", {}).get("estimate")
        checked = document["calibration"].get(head, {})
        table.add_row(
            head,
            str(measured["judgments"]),
            _number(quality),
            _number(checked.get("skill")),
            _number(checked.get("error")),
        )
    out.print(f"{found.ref} ({found.state})")
    out.print(table)
    for line in found.examined.lines:
        out.print(escape(line))


def _print_compared(found: "Compared") -> None:
    from rich.markup import escape
    from rich.table import Table

    out, decision = console(), found.decision
    table = Table("head", "judgments", f"{found.a} minus {found.b}, nats", "interval", box=None, header_style="bold")
    for head, test in [*decision.by_head.items(), ("all together", decision.overall)]:
        if test is not None:
            table.add_row(head, str(test.rows), f"{test.difference:+.4f}", f"{test.low:+.4f} to {test.high:+.4f}")
    if decision.by_head:
        out.print(table)
    shown = f"{found.a} is shown to be better" if decision.promoted else f"{found.a} is not shown to be better"
    out.print(escape(f"{shown}: {decision.reason}"))


def _print_offline_online(found: "OfflineOnline", objective: str) -> None:
    from rich.table import Table

    out = console()
    table = Table("candidate", f"{objective} predicted", "realised", box=None, header_style="bold")
    for point in found.points:
        table.add_row(point.candidate, f"{point.predicted.value:.3f}", f"{point.realised.value:.3f}")
    out.print(table if found.points else "no candidate has both a prediction and an experiment that has ended")
    if found.levels is not None:
        out.print(f"r = {found.levels.r:.3f} ({found.levels.low:.3f} to {found.levels.high:.3f})")
    if found.line is not None:
        out.print(f"slope {found.line.slope:.2f} ({found.line.slope_low:.2f} to {found.line.slope_high:.2f})")
    if found.recalibrated is not None:
        left = found.recalibrated
        out.print(
            f"slope left after each prediction is corrected by the candidates before it: {left.slope:.2f} "
            f"({left.slope_low:.2f} to {left.slope_high:.2f})"
        )
    out.print(f"trust in the gate: {found.trust.level}: {found.trust.meaning}")


def _print_explained(found: "Explained") -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console()
    out.print(escape(f"{found.answer}, by {found.ref} ({found.state}): {_short(found.text)}"))
    table = Table(
        "objective", "value", "spread", "label", "logit", "by length", found.other or "other version",
        box=None, header_style="bold",
    )  # fmt: skip
    for head in found.heads:
        table.add_row(
            head.name, f"{head.value:.3f}", f"{head.spread:.3f}", _number(head.label), f"{head.logit:+.3f}",
            f"{head.length:+.3f}", _number(head.other),
        )  # fmt: skip
    out.print(table)
    out.print(f"label: {found.label_status or 'none yet'}")
    if found.heads:
        table = Table("what adds to the logit", *(head.name for head in found.heads), box=None, header_style="bold")
        for part in found.heads[0].parts:
            table.add_row(part, *(f"{head.parts[part]:+.3f}" for head in found.heads))
        out.print(table)
    if found.neighbours:
        table = Table("nearest labelled answers", "alike", "labels", "text", box=None, header_style="bold")
        for one in found.neighbours:
            told = ", ".join(f"{name} {value:.2f}" for name, value in one.labels.items())
            table.add_row(one.answer, f"{one.similarity:.2f}", told, escape(_short(one.text)))
        out.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
