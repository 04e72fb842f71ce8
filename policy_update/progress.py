"""A bar for a training run by hand: how far it is, and what the policy does meanwhile."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from policy_update.records import StepRecord


def described(record: StepRecord) -> str:
    """One step in a line: rewards, KL, entropy, length, speed."""
    rewards = " ".join(f"{name} {value:.3f}" for name, value in record.rewards.items())
    return (
        f"{rewards} | KL {record.kl:.3f} | entropy {record.entropy:.2f} | length {record.mean_length:.0f} | "
        f"{record.tokens_a_second:.0f} tok/s"
    )


@contextmanager
def step_bar(label: str, steps: int, shown: bool | None = None) -> Iterator[Callable[[StepRecord], None]]:
    """A function to be given each step's record. `shown`: None shows the bar where somebody watches (a terminal)."""
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda record: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, TextColumn("{task.fields[line]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=steps, line="")
        yield lambda record: bar.update(task, completed=record.step + 1, line=described(record))
