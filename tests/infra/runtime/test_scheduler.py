import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.runtime import Context, Job, JobContext, JobOutcome
from infra.runtime.children import run_child
from infra.runtime.processes import process_name, surely_dead
from infra.runtime.repository import Run, last_run, recent_runs
from infra.runtime.scheduler import Scheduler
from tests.fixtures import wait_until
from tests.infra.runtime import child_program


@contextmanager
def _scheduler(context: Context, *jobs: Job) -> Iterator[Scheduler]:
    scheduler = Scheduler(context, jobs, child_command=child_program.command)
    try:
        yield scheduler
    finally:
        scheduler.close()


@pytest.fixture
def children(embedded: Context) -> Iterator[Scheduler]:
    """A scheduler of the child program's jobs, not started: runs come by `run_now`."""
    with _scheduler(embedded, *child_program.jobs().values()) as scheduler:
        yield scheduler


def _last(context: Context, job: str) -> Run:
    with context.database.reading() as connection:
        run = last_run(connection, "default", job)
    assert run is not None
    return run


def _every(seconds: float, run: Callable[[JobContext], JobOutcome]) -> Job:
    return Job("light", run, lambda _: seconds, 30.0)


def test_light_jobs_run_by_their_interval_and_survive_failures(embedded: Context) -> None:
    runs = []

    def sometimes(_: JobContext) -> JobOutcome:
        runs.append(threading.current_thread().name)
        if len(runs) % 2:
            raise RuntimeError("on purpose")
        return JobOutcome.done()

    with _scheduler(embedded, _every(0.1, sometimes)) as scheduler:
        scheduler.start()
        wait_until(lambda: len(runs) >= 4, 60.0, "four runs")
        assert scheduler.healthy() is None
    after = len(runs)
    time.sleep(0.3)
    assert len(runs) == after, "a closed scheduler starts nothing"
    assert threading.main_thread().name not in runs
    with embedded.database.reading() as connection:
        statuses = [run.status for run in reversed(recent_runs(connection, "default", "light"))]
    assert statuses[:4] == ["failed", "done", "failed", "done"]


def test_a_job_never_overlaps_itself(embedded: Context) -> None:
    inside, most, count = [0], [0], [0]

    def slow(_: JobContext) -> JobOutcome:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.25)
        inside[0] -= 1
        count[0] += 1
        return JobOutcome.done()

    with _scheduler(embedded, _every(0.05, slow)) as scheduler:
        scheduler.start()
        assert [scheduler.run_now("light").result(20) for _ in range(2)] == [0, 0]
        wait_until(lambda: count[0] >= 3, 60.0, "three runs")
    assert most[0] == 1


def test_a_restart_keeps_the_rhythm(embedded: Context) -> None:
    """An interval longer than the process lives would otherwise never, or always, come due."""
    count = [0]

    def note(_: JobContext) -> JobOutcome:
        count[0] += 1
        return JobOutcome.done()

    for _ in range(2):
        with _scheduler(embedded, _every(3600.0, note)) as scheduler:
            scheduler.start()
            time.sleep(1.4 if count[0] else 0.0)
            wait_until(lambda: count[0] >= 1, 60.0, "the first run")
    assert count == [1]


def test_pause_and_resume(embedded: Context) -> None:
    count = [0]

    def note(_: JobContext) -> JobOutcome:
        count[0] += 1
        return JobOutcome.done()

    with _scheduler(embedded, _every(0.05, note)) as scheduler:
        scheduler.start()
        wait_until(lambda: count[0] >= 1, 60.0, "the first run")
        scheduler.pause()
        time.sleep(0.3)
        before = count[0]
        time.sleep(0.3)
        assert count[0] == before
        assert scheduler.run_now("light").result(20) == 0
        scheduler.resume()
        wait_until(lambda: count[0] >= before + 3, 60.0, "runs after the resume")


def test_a_child_has_low_priority_capped_threads_and_the_settings_of_its_parent(embedded: Context) -> None:
    jobs = embedded.settings.jobs.model_copy(update={"child_threads": 1, "child_niceness": 7})
    settings = embedded.settings.model_copy(update={"jobs": jobs, "project": "shop"})
    context = Context(settings, embedded.clock, embedded.database, embedded.event_log)
    with _scheduler(context, child_program.jobs()["report"]) as scheduler:
        assert scheduler.run_now("report").result(60) == 0
    with context.database.reading() as connection:
        run = last_run(connection, "shop", "report")
    assert run is not None
    facts = dict(fact.split("=") for fact in run.detail.split())
    niceness = min(os.nice(0) + 7, 19)
    assert facts == {"nice": str(niceness), "threads": "1", "session": "True", "oom": "500", "project": "shop"}
    assert '"event": "job_ended"' in (settings.data_dir / "logs" / "report.log").read_text()


@pytest.mark.parametrize(
    ("name", "code", "status", "detail"),
    [
        ("crash", 1, "failed", "ended by SIGSEGV"),
        ("fail", 1, "failed", "RuntimeError: on purpose"),
        ("later", 75, "deferred", "the other side is not up"),
    ],
)
def test_how_a_child_ends_is_recorded_and_harms_nobody(
    children: Scheduler, embedded: Context, name: str, code: int, status: str, detail: str
) -> None:
    assert children.run_now(name).result(60) == code
    run = _last(embedded, name)
    assert run.status == status
    assert run.detail.startswith(detail)
    assert run.ended_at is not None
    if name == "crash":
        assert children.run_now("report").result(60) == 0


_DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if child := os.fork():
    open(sys.argv[1], "w").write(f"{os.getpid()} {child}")
time.sleep(600)
"""


def test_a_child_over_its_deadline_is_killed_with_its_own_children(
    embedded: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.runtime.children.GRACE_SECONDS", 0.2)
    pids = embedded.settings.data_dir / "pids"
    job = Job("deaf", lambda _: JobOutcome.done(), lambda _: 3600.0, 2.0, child=True)
    scheduler = Scheduler(embedded, [job], child_command=lambda _: [sys.executable, "-S", "-c", _DEAF, str(pids)])
    assert scheduler.run_now("deaf").result(60) == 1
    scheduler.close()
    run = _last(embedded, "deaf")
    assert run.status == "failed"
    assert run.detail.startswith("ended by SIGKILL: over its deadline of 2 s")
    assert len(pids.read_text().split()) == 2
    wait_until(lambda: not any(_runs(int(pid)) for pid in pids.read_text().split()), what="both to be gone")


def test_a_child_that_dies_before_it_begins_is_recorded(embedded: Context) -> None:
    job = child_program.jobs()["report"]
    command = [sys.executable, "-c", "import no_such_module"]
    scheduler = Scheduler(embedded, [job], child_command=lambda _: command)
    assert scheduler.run_now("report").result(60) == 1
    scheduler.close()
    run = _last(embedded, "report")
    assert (run.status, run.detail[:31]) == ("failed", "exit code 1, before it began; s")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_closing_asks_children_to_end(children: Scheduler, embedded: Context) -> None:
    future = children.run_now("polite")
    wait_until((embedded.settings.data_dir / "polite.pid").exists, 60.0, "the child to start")
    children.close()
    assert future.result(30) == 0
    assert _last(embedded, "polite").detail == "ended because it was asked to"


def test_children_die_with_a_killed_parent_and_the_next_takes_over(embedded: Context) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(embedded.settings.data_dir)])
    pid_file = embedded.settings.data_dir / "polite.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), 60.0, "the child to start")
    child = process_name(int(pid_file.read_text()))
    assert not surely_dead(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: surely_dead(child), 60.0, "the child to die with its parent")
    job = Job("polite", lambda _: JobOutcome.done("resumed"), lambda _: 3600.0, 30.0)
    with _scheduler(embedded, job) as scheduler:
        scheduler.start()
        wait_until(lambda: _last(embedded, "polite").detail == "resumed", 60.0, "the job to be resumed")


_PARENT = """
import sys
from pathlib import Path
from infra.runtime import open_context
from infra.runtime.scheduler import Scheduler
from infra.settings import Settings
from tests.infra.runtime import child_program
context = open_context(Settings(data_dir=Path(sys.argv[1])))
scheduler = Scheduler(context, [child_program.jobs()["polite"]], child_command=child_program.command)
scheduler.run_now("polite").result()
"""


def test_a_child_whose_parent_is_already_gone_does_nothing(embedded: Context) -> None:
    from infra.runtime.children import BOOTSTRAP

    arguments = [sys.executable, "-I", str(BOOTSTRAP), "1", "0", sys.executable, "-c", "print('ran')"]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=90)
    assert (ended.returncode, ended.stdout) == (75, "")


def test_a_command_that_does_not_exist_is_a_failure_not_an_exception(embedded: Context) -> None:
    end = run_child(embedded.settings, "none", ["/nowhere/none"], 10.0, threading.Event())
    assert end.code == 1
    assert "No such file" in (embedded.settings.data_dir / "logs" / "none.log").read_text()


def test_two_jobs_of_one_name_are_refused(embedded: Context) -> None:
    job = child_program.jobs()["report"]
    with pytest.raises(ValueError, match="must differ"):
        Scheduler(embedded, [job, job])
