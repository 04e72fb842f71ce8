"""`plaudit demo`: start the system, let the people come, watch, judge, report. Exit 0 when the loop closed."""

import asyncio
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from infra.contracts import PlauditError
from infra.db import Database
from infra.settings import console_password, load_settings
from plaudit.demo import profile, report, sizing
from plaudit.demo.conductor import Conductor, Story, progress_bars
from plaudit.demo.facts import gather
from plaudit.demo.memory import MemoryWatch
from plaudit.demo.options import DemoOptions
from plaudit.demo.process import UpProcess, free_port


def run(options: DemoOptions, people: int | None = None, steps: int | None = None) -> int:
    """One turn of the loop in a fresh folder. `people`, `steps`: as asked for; where neither is, what fits into the
    demo's time on this machine, at most what `options` say. Returns the exit code: 0 closed, 1 not."""
    console = Console()
    options = replace(options, folder=Path(options.folder))
    _fresh(options.folder)
    started = time.monotonic()
    console.print(f"[bold]Plaudit demo[/bold], seed {options.seed}: data, logs and report in {options.folder}")
    options, size = _sized(options, people, steps, console)
    config = profile.write(options)
    settings = load_settings(config)
    up = UpProcess(config, free_port(), options.folder / "logs" / "up.log")
    up.start()
    failure: PlauditError | None = None
    database: Database | None = None
    with MemoryWatch() as memory, progress_bars() as progress:
        story = Story(options)
        try:
            bar = progress.add_task("starting the system", total=1)
            up.wait_ready()
            progress.update(bar, completed=1, description="the system is ready")
            progress.console.print(
                f"console: [bold]{up.url}/console[/bold], password [bold]{console_password(settings)}[/bold]"
            )
            database = Database.open(settings.store_url)
            conductor = Conductor(options, up, database, settings.project, progress)
            story = conductor.story
            asyncio.run(conductor.play())
            asyncio.run(_settled(database, settings.project, story))
        except PlauditError as error:
            failure = error
        finally:
            up.stop()
    database = database or Database.open(settings.store_url)
    finished = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = gather(database, settings, story, failure, time.monotonic() - started, memory.peak_bytes, finished)
    again = f"plaudit --config {config} up --port {up.port}"
    facts = replace(facts, extra={"console": f"{up.url}/console", "again": again, "size": size})
    page = report.write(facts, options.folder / "report")
    report.print_table(facts, page, console)
    database.close()
    return 0 if facts.closed else 1


def _sized(options: DemoOptions, people: int | None, steps: int | None, console: Console) -> tuple[DemoOptions, str]:
    """(the options at the size asked for, or else at what the machine gets done, where it can be measured; one sentence
    about it, empty where nothing was cut)."""
    if people is not None or steps is not None:
        return replace(options, people_before=people or options.people_before, steps=steps or options.steps), ""
    with console.status("seeing how fast this machine draws answers (the first time it fetches the base model)"):
        pace = sizing.tokens_per_second(profile.write(options))
    if pace is None:
        console.print("How fast this machine is could not be measured: the whole demo begins.")
        return options, ""
    found = sizing.sized(options, pace)
    sentence = sizing.told(options, found)
    if sentence:
        console.print(sentence)
    return found, sentence


async def _settled(database: Database, project: str, story: Story, patience_seconds: float = 20.0) -> None:
    """Wait until the consumer has caught up with what was acknowledged, so that the count at the end is fair."""
    from plaudit.demo.repository import stored_event_ids, stored_response_ids

    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        with database.reading() as connection:
            missing = set(story.acknowledged_events) - set(stored_event_ids(connection, project))
            missing |= set(story.acknowledged_answers) - set(stored_response_ids(connection, project))
        if not missing:
            return
        await asyncio.sleep(0.3)


def _fresh(folder: Path) -> None:
    """An earlier demo's folder is replaced; anything else is left alone."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    marker = folder / "plaudit.toml"
    if not marker.exists() or f'project = "{profile.PROJECT}"' not in marker.read_text(encoding="utf-8"):
        raise PlauditError(
            f"{folder} is not empty and is no earlier demo's folder: choose another with --folder", field="folder"
        )
    shutil.rmtree(folder)
