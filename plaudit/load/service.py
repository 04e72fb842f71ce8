"""One load from beginning to end, with a bar that moves."""

import asyncio
import signal
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.load.answers import Sample
from plaudit.load.driver import Driver
from plaudit.load.plan import Messages, Plan
from plaudit.load.report import Document, report

_TICK_SECONDS = 0.2


def put_load(plan: Plan, prompts: Sequence[Messages], console: Console | None = None) -> Document:
    """Put the load on and report; a bar is shown on `console`. The first Ctrl-C ends it early, with its report.

    Raises BadLoad.
    """
    import uvloop

    document: Document = uvloop.run(_run(plan, prompts, console or Console(quiet=True)))
    return document


async def _run(plan: Plan, prompts: Sequence[Messages], console: Console) -> Document:
    samples: list[Sample] = []
    driver = Driver(plan, prompts, samples.append)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, driver.stop)
    with _bar(console) as bar:
        showing = asyncio.ensure_future(_show(bar, driver, plan, samples))
        try:
            seconds = await driver.run()
        finally:
            showing.cancel()
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    return report(plan, samples, seconds)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


async def _show(bar: Progress, driver: Driver, plan: Plan, samples: Sequence[Sample]) -> None:
    task = bar.add_task("load", total=plan.seconds, said="")
    began, before = time.perf_counter(), 0
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        elapsed = time.perf_counter() - began
        recent, before = samples[before:], len(samples)
        errors = sum(one.code is not None for one in recent)
        slow = max((one.finished - one.intended for one in recent), default=0.0)
        said = f"{before} done, {driver.in_flight} under way, {errors} errors just now, slowest {slow * 1000:.0f} ms"
        bar.update(task, completed=min(elapsed, plan.seconds), said=said)
