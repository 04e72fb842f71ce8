"""How experiments and decisions look on a terminal."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from ab_testing.status import Gauge, Running
    from infra.contracts import Decision, Experiment

BAR = 24
TESTS = {"better": "better", "not_inferior": "no worse by its margin", "worse": "harm", "discovery": "the stream asks"}


def show_running(console: "Console", running: "Running", now: float, watermark: float | None) -> None:
    """One experiment: arms with people and rates, tests as bars, what it waits for."""
    experiment = running.experiment
    paused = ", paused" if experiment.paused_at is not None else ""
    console.print(f"\n[bold]{experiment.kind} {experiment.experiment_id}[/bold]{paused}")
    console.print(
        f"began {instant(experiment.started_at)}, step {experiment.phase.index + 1} of the ramp: "
        f"{_share(experiment)} of buckets {experiment.slot[0]:g} to {experiment.slot[1]:g} in each arm"
    )
    console.print(_arms(running))
    for arm, gauges in running.gauges.items():
        console.print(_bars(arm if len(running.gauges) > 1 else "", gauges))
    console.print(f"{running.verdict.kind}: {running.verdict.reason}")
    console.print(_when(running, now))
    console.print("watermark: none" if watermark is None else f"watermark {now - watermark:.0f} s old")


def _share(experiment: "Experiment") -> str:
    """The step's share, or those of control and candidates where they differ."""
    phase = experiment.phase
    return " / ".join(f"{share:.1%}" for share in (phase.share, *phase.shares))


def show_decision(console: "Console", row: "Decision", lines: list[str]) -> None:
    """One row of the ledger."""
    console.print(f"[bold]decision {row.sequence}[/bold] {row.decision_id}")
    console.print(f"decided {instant(row.decided_at)}, watermark {instant(row.watermark) if row.watermark else 'none'}")
    for line in lines:
        console.print(line, markup=False)
    console.print(f"experiment {row.experiment_id or 'none'}; configuration {row.config_hash[:12]}; hash {row.hash}")


def instant(seconds: float) -> str:
    """Unix seconds as a date people read, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 0.0):.0f} seconds"


def _arms(running: "Running") -> "RenderableType":
    from rich.table import Table

    from ab_testing.status import people_of, rate_of

    first = next(iter(running.situations.values()))
    names = [metric.name for metric in first.rules.metrics]
    table = Table("arm", "adapter", "people", *names, box=None, pad_edge=False, header_style="bold")
    for arm, adapter in running.experiment.arms.items():
        situation = first if arm == "control" else running.situations.get(arm)
        if situation is None:
            table.add_row(arm, adapter, "left")
            continue
        known = situation.evidence
        rates = {metric.name: rate_of(metric, arm) for metric in known.metrics} if known is not None else {}
        told = ["-" if rates.get(name) is None else f"{rates[name]:.4f}" for name in names]
        table.add_row(arm, adapter, str(people_of(known, arm)), *told)
    return table


def _bars(arm: str, gauges: "Sequence[Gauge]") -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for gauge in gauges:
        style = "red" if gauge.test == "worse" else "green"
        bar = ProgressBar(total=1.0, completed=gauge.filled, width=BAR, complete_style=style, finished_style=style)
        nats = "-" if gauge.log_e is None else f"{gauge.log_e:.2f}"
        table.add_row(arm, gauge.metric, TESTS[gauge.test], bar, f"{nats} of {gauge.boundary:.2f} nats")
    return table


def _when(running: "Running", now: float) -> str:
    last = f"ends by itself in {duration(running.deadline - now)}"
    if running.experiment.kind == "holdback":
        return last
    if running.seconds is None:
        return f"no promotion in sight at this pace; {last}"
    return f"at this pace {duration(running.seconds)} to a promotion; {last}"
