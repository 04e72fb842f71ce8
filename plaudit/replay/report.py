"""What `plaudit replay` prints and writes."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from plaudit.replay.client import Sent
from plaudit.replay.recording import Recording

if TYPE_CHECKING:
    from reward_model.cross_validation import CrossValidated
    from reward_model.evaluation import Interval
    from reward_model.service import Outcome


@dataclass(frozen=True)
class ReplayReport:
    """`outcome` of the training as the job does it; `validated` None when there were too few pairs."""

    recording: Recording
    outcome: "Outcome"
    card: dict[str, object]
    validated: "CrossValidated | None"
    folds: int

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        found: dict[str, Any] = {
            "recording": self.recording.name,
            "interactions": len(self.recording.interactions),
            "events": len(self.recording.events),
            "skipped": self.recording.skipped,
            "reward_model": self.outcome.ref,
            "not_trained": self.outcome.skipped,
            "training": self.outcome.report,
            "card": self.card,
        }
        if self.validated is not None:
            intervals = ("accuracy", "accuracy_bt", "gain", "accuracy_of_longer")
            found["cross_validation"] = {
                "folds": self.folds,
                **{name: asdict(getattr(self.validated, name)) for name in intervals},
                "flip_rates": list(self.validated.flip_rates),
                "thresholds": list(self.validated.thresholds),
                "penalties": list(self.validated.penalties),
            }
        return found


def print_sent(console: Console, recording: Recording, interactions: Sent, events: Sent) -> None:
    """What was sent, what was refused and what the file held beside."""
    console.print(
        f"[bold]{recording.name}[/]: {interactions.accepted} interactions and {events.accepted} events accepted"
    )
    for kind, sent in (("interactions", interactions), ("events", events)):
        for code, count in sent.refused.items():
            console.print(f"  refused {count} {kind}: {code}: {sent.examples[code]}", markup=False)
    for reason, count in recording.skipped.items():
        console.print(f"  not sent: {count} {reason}", markup=False)


def print_report(console: Console, report: ReplayReport, seconds: float) -> None:
    """The registered model's own hold-out, then the cross-validated accuracy, with intervals."""
    if report.outcome.ref:
        console.print(f"trained [bold]{report.outcome.ref}[/]; on its newest, held-out conversations and prompts:")
        for line in (report.outcome.report or {}).get("summary", []):
            console.print(f"  {line}", markup=False)
    else:
        console.print(f"no new reward model: {report.outcome.skipped}", markup=False)
    if report.validated is None:
        console.print("too few pairs to cross-validate")
    else:
        _print_validated(console, report.validated, report.folds)
    console.print(f"{seconds:.0f} s", style="dim")


def _print_validated(console: Console, found: "CrossValidated", folds: int) -> None:
    table = Table(
        title=f"pairwise accuracy, each pair judged by a model that saw neither its prompt nor its conversation "
        f"({folds}-fold)",
        title_justify="left",
        box=None,
        header_style="bold",
    )
    for column in ("", "accuracy", "95 % interval", "pairs", "groups"):
        table.add_column(column)
    for name, interval in (
        ("huber_bt", found.accuracy),
        ("bt", found.accuracy_bt),
        ("longer", found.accuracy_of_longer),
    ):
        table.add_row(name, f"{interval.estimate:.1%}", _range(interval), str(interval.count), str(interval.groups))
    table.add_row("huber_bt - bt", f"{found.gain.estimate:+.1%}", _range(found.gain), "", "")
    console.print(table)
    margin = found.accuracy.low - 0.5
    verdict = "above chance by more than the interval" if margin > 0 else "not distinguishable from chance (50 %)"
    rates = sorted(found.flip_rates)
    console.print(
        f"{verdict}; interval by bootstrap over whole groups; estimated flip rate {rates[0]:.2f} to {rates[-1]:.2f}",
        markup=False,
    )


def _range(interval: "Interval") -> str:
    return f"{interval.low:.1%} to {interval.high:.1%}"
