"""A program that runs one job of this file, as `plaudit jobs run NAME` does: python -m tests...child_program NAME."""

import os
import signal
import sys
import time
from pathlib import Path

from infra.runtime import Job, JobContext, JobOutcome, Shutdown, TryLater, configure_logging, open_context, run_job
from infra.settings import load_settings


def report(job: JobContext) -> JobOutcome:
    facts = {
        "nice": os.nice(0),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "session": os.getsid(0) == os.getpid(),
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "project": job.settings.project,
    }
    return JobOutcome.done(" ".join(f"{key}={value}" for key, value in facts.items()))


def crash(job: JobContext) -> JobOutcome:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("unreachable")


def fail(job: JobContext) -> JobOutcome:
    raise RuntimeError("on purpose")


def later(job: JobContext) -> JobOutcome:
    raise TryLater("the other side is not up")


def polite(job: JobContext) -> JobOutcome:
    """Ends when it is asked to."""
    (job.settings.data_dir / "polite.pid").write_text(str(os.getpid()))
    while not job.should_stop():
        job.progress(0.5, "half-way")
        time.sleep(0.02)
    return JobOutcome.done("ended because it was asked to")


RUNS = {"report": report, "crash": crash, "fail": fail, "later": later, "polite": polite}


def jobs() -> dict[str, Job]:
    return {name: Job(name, run, lambda _: 3600.0, 60.0, child=True) for name, run in RUNS.items()}


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.infra.runtime.child_program", name]


def main(name: str, *more: str) -> int:
    told = dict(zip(more[::2], more[1::2], strict=True))
    fire = float(told["--fire"]) if "--fire" in told else None
    settings = load_settings()
    configure_logging(settings, process=name)
    shutdown = Shutdown()
    shutdown.install()
    context = open_context(settings)
    try:
        return run_job(context, jobs()[name], shutdown.stop, fire=fire, cause=told.get("--cause", ""))
    finally:
        context.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
