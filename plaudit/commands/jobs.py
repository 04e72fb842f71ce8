"""`plaudit jobs`: what runs on a schedule; the same table that `plaudit up` and deployments read."""

from typing import Annotated

import typer

from plaudit.commands.common import console, group, settings

app = group("What runs on a schedule.")


@app.command("list")
def list_jobs() -> None:
    """Every job, how often it runs, how long it may take, and where."""
    from rich.table import Table

    from plaudit.jobs import all_jobs

    current = settings()
    table = Table("job", "every", "deadline", "runs in", box=None, header_style="bold")
    for job in all_jobs():
        place = "a process of its own" if job.child else "the main process"
        table.add_row(job.name, f"{job.every_seconds(current):g} s", f"{job.deadline_seconds:g} s", place)
    console().print(table)


@app.command()
def run(name: Annotated[str, typer.Argument(help="As `plaudit jobs list` names it.")]) -> None:
    """Run one job now, under its lease. Exit 0: done, or skipped with the reason; 1: failed; 75: try later."""
    raise typer.Exit(run_once(name))


def run_once(name: str) -> int:
    """Run the job `name` in this process and return its exit code; a signal asks it to end soon."""
    from infra.runtime import Shutdown, configure_logging, open_context, run_job
    from plaudit.jobs import job_named

    job, current = job_named(name), settings()
    configure_logging(current, process=name)
    shutdown = Shutdown()
    shutdown.install()
    context = open_context(current)
    try:
        return run_job(context, job, shutdown.stop)
    finally:
        context.close()
