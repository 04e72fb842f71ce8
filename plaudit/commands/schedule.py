"""`plaudit jobs schedule`: the scheduler of `plaudit up`, alone."""

from typing import Annotated

import typer

from plaudit.commands.common import settings

OperationsHost = Annotated[str, typer.Option(help="Address of /livez, /readyz and /metrics.")]
OperationsPort = Annotated[int, typer.Option(help="Their port; 0: they are not served.", min=0, max=65535)]


def schedule(
    names: Annotated[list[str] | None, typer.Argument(help="Only these jobs; without: all of them.")] = None,
    operations_host: OperationsHost = "127.0.0.1",
    operations_port: OperationsPort = 0,
) -> None:
    """Run jobs on their schedule until told to stop. Several may run: leases let one of them run each job."""
    from infra.runtime import Health, Shutdown, configure_logging, open_context
    from infra.runtime.reporting import refresh_job_metrics
    from infra.runtime.scheduler import Scheduler
    from plaudit.jobs import all_jobs, job_named
    from plaudit.operations import operations

    current, shutdown, health = settings(), Shutdown(), Health()
    jobs = [job_named(name) for name in names] if names else all_jobs()
    configure_logging(current, process="schedule")
    shutdown.install()
    context = open_context(current)
    shutdown.add("log and store", context.close)
    scheduler = Scheduler(context, jobs)
    shutdown.add("jobs", scheduler.close)
    health.add("store", context.database.healthy)
    health.add("scheduler", scheduler.healthy)
    try:
        with operations(
            health, operations_host, operations_port, scheduler.healthy, [lambda: refresh_job_metrics(context, jobs)]
        ):
            scheduler.start()
            shutdown.wait()
    finally:
        shutdown.close()
