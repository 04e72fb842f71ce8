import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from infra.contracts import ManualClock
from infra.contracts.errors import PlauditError
from infra.db import Database
from infra.db.tables import config_snapshots, job_runs, leases
from infra.runtime import Context, Job, JobContext, JobOutcome, LeaseLost, TryLater, run_job
from infra.runtime.repository import Run, last_run, recent_runs
from infra.settings import config_hash, resolved
from tests.fixtures import wait_until
from tests.infra.runtime import child_program


def _job(run: Callable[[JobContext], JobOutcome], deadline_seconds: float = 30.0) -> Job:
    return Job("example", run, lambda _: 1.0, deadline_seconds)


def _last(context: Context) -> Run:
    with context.database.reading() as connection:
        run = last_run(connection, context.settings.project, "example")
    assert run is not None
    return run


def _holders(context: Context) -> list[str]:
    with context.database.reading() as connection:
        return list(connection.execute(select(leases.c.holder)).scalars())


def _raise(error: Exception) -> Callable[[JobContext], JobOutcome]:
    def run(_: JobContext) -> JobOutcome:
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "code", "status", "detail"),
    [
        (lambda _: JobOutcome.done("trained"), 0, "done", "trained"),
        (lambda _: JobOutcome.skipped("3 labels missing"), 0, "skipped", "3 labels missing"),
        (_raise(TryLater("not up")), 75, "deferred", "not up"),
        (_raise(PlauditError("no disk", code="no_disk")), 1, "failed", "no_disk: no disk"),
        (_raise(ValueError("odd")), 1, "failed", "ValueError: odd (test_running.py:"),
    ],
)
def test_exit_codes_and_records(
    context: Context, run: Callable[[JobContext], JobOutcome], code: int, status: str, detail: str
) -> None:
    assert run_job(context, _job(run)) == code
    row = _last(context)
    assert (row.status, row.detail[: len(detail)]) == (status, detail)
    assert row.started_at == row.ended_at == context.clock.now()
    assert row.config_hash == config_hash(context.settings)
    assert _holders(context) == []


def test_the_configuration_is_kept_once(context: Context) -> None:
    for _ in range(2):
        run_job(context, _job(lambda _: JobOutcome.done()))
    with context.database.reading() as connection:
        rows = connection.execute(select(config_snapshots.c.config_hash, config_snapshots.c.document)).all()
    assert rows == [(config_hash(context.settings), resolved(context.settings))]


def test_only_one_run_at_a_time(context: Context) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(_: JobContext) -> JobOutcome:
        entered.set()
        assert leave.wait(60)
        return JobOutcome.done()

    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run_job(context, _job(wait))))
    thread.start()
    assert entered.wait(60)
    assert run_job(context, _job(lambda _: JobOutcome.done("second"))) == 75
    leave.set()
    thread.join(10)
    assert codes == [0]
    assert run_job(context, _job(lambda _: JobOutcome.done("third"))) == 0
    with context.database.reading() as connection:
        assert [run.detail for run in recent_runs(connection, "default", "example")] == ["third", ""]


def test_many_contenders_have_one_winner(context: Context) -> None:
    inside, most = [0], [0]
    lock = threading.Lock()

    def count(_: JobContext) -> JobOutcome:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        with lock:
            inside[0] -= 1
        return JobOutcome.done()

    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(run_job(context, _job(count)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most[0] == 1
    assert len(codes) == 6
    assert codes.count(0) >= 1
    assert set(codes) <= {0, 75}


def test_the_heartbeat_keeps_a_lease_alive_and_writes_progress(context: Context, clock: ManualClock) -> None:
    def work(job: JobContext) -> JobOutcome:
        before = _expiry(context)
        job.progress(0.25, "a quarter")
        clock.advance(0.3)
        wait_until(lambda: _expiry(context) > before, what="the lease to be renewed")
        wait_until(lambda: _last(context).progress == {"fraction": 0.25, "text": "a quarter"}, what="progress")
        assert _last(context).heartbeat_at == clock.now()
        return JobOutcome.done()

    assert run_job(context, _job(work)) == 0, _last(context).detail


def _expiry(context: Context) -> float:
    with context.database.reading() as connection:
        return connection.execute(select(leases.c.expires_at)).scalar_one()


def test_a_lease_of_an_unknown_process_is_taken_over_when_it_expires(context: Context, clock: ManualClock) -> None:
    _leave_behind(context, holder="elsewhere|b|n|1|1|run")
    assert run_job(context, _job(lambda _: JobOutcome.done())) == 75
    clock.advance(0.41)  # four heartbeats of 0.1 s
    assert run_job(context, _job(lambda _: JobOutcome.done())) == 0
    with context.database.reading() as connection:
        statuses = [run.status for run in recent_runs(connection, "default", "example")]
    assert statuses == ["done", "abandoned"]


def _leave_behind(context: Context, holder: str) -> None:
    now = context.clock.now()
    with context.database.transaction() as connection:
        connection.execute(
            leases.insert().values(project="default", name="example", holder=holder, expires_at=now + 0.4)
        )
        connection.execute(
            job_runs.insert().values(
                run_id="old",
                project="default",
                job="example",
                holder=holder,
                status="running",
                detail="",
                progress={},
                config_hash="",
                started_at=now - 1,
                heartbeat_at=now,
            )
        )


def test_the_lease_of_a_killed_process_is_taken_over_at_once(embedded: Context) -> None:
    """A real process, really killed; heartbeats of an hour rule out that expiry did it."""
    slow = embedded.settings.model_copy(
        update={"jobs": embedded.settings.jobs.model_copy(update={"heartbeat_seconds": 3600.0})}
    )
    patient = Context(slow, embedded.clock, embedded.database, embedded.event_log)
    process = _start_polite(slow)
    job = Job("polite", lambda _: JobOutcome.done("took over"), lambda _: 1.0, 30.0)
    assert run_job(patient, job) == 75, "it is alive"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run_job(patient, job) == 0
    with patient.database.reading() as connection:
        runs = recent_runs(connection, "default", "polite")
    assert [(run.status, run.detail) for run in runs] == [("done", "took over"), ("abandoned", "its process died")]


def _start_polite(settings: object) -> "subprocess.Popen[bytes]":
    from infra.settings import Settings, child_environment, write_resolved

    assert isinstance(settings, Settings)
    config = settings.data_dir / "settings.toml"
    write_resolved(settings, config)
    process = subprocess.Popen(child_program.command("polite"), env=child_environment(config))
    wait_until((settings.data_dir / "polite.pid").exists, 60.0, "the child to start")
    return process


def test_sigterm_ends_a_run_in_order(embedded: Context) -> None:
    process = _start_polite(embedded.settings)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    with embedded.database.reading() as connection:
        run = last_run(connection, "default", "polite")
    assert run is not None
    assert (run.status, run.detail) == ("done", "ended because it was asked to")


def test_a_run_that_lost_its_lease_is_told_and_may_not_commit(context: Context) -> None:
    def work(job: JobContext) -> JobOutcome:
        with context.database.transaction() as connection:
            job.confirm_lease(connection)
            connection.execute(update(leases).values(holder="thief"))
        wait_until(job.should_stop, what="should_stop after the heartbeat found the lease gone")
        with pytest.raises(LeaseLost), context.database.transaction() as connection:
            job.confirm_lease(connection)
        with context.database.transaction() as connection:
            connection.execute(update(job_runs).values(status="abandoned"))
        return JobOutcome.done("too late")

    assert run_job(context, _job(work)) == 1
    assert _last(context).status == "abandoned"
    assert _holders(context) == ["thief"], "the new holder's lease is not released by the old"


def test_after_the_deadline_a_run_is_asked_to_stop(context: Context) -> None:
    def early(job: JobContext) -> JobOutcome:
        return JobOutcome.done(str(job.should_stop()))

    def late(job: JobContext) -> JobOutcome:
        wait_until(job.should_stop, what="the deadline")
        return JobOutcome.skipped("no time")

    assert run_job(context, _job(early, deadline_seconds=600)) == 0
    assert _last(context).detail == "False"
    assert run_job(context, _job(late, deadline_seconds=0.1)) == 0


def test_stop_reaches_the_run(context: Context) -> None:
    stop = threading.Event()
    stop.set()
    assert run_job(context, _job(lambda job: JobOutcome.done(str(job.should_stop()))), stop) == 0
    assert _last(context).detail == "True"


def test_an_interrupt_is_recorded_and_goes_on(context: Context) -> None:
    def interrupted(_: JobContext) -> JobOutcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(context, _job(interrupted))
    assert (_last(context).status, _holders(context)) == ("failed", [])


def test_old_runs_are_forgotten(context: Context, clock: ManualClock) -> None:
    run_job(context, _job(lambda _: JobOutcome.done("old")))
    clock.advance(context.settings.jobs.keep_runs_seconds + 1)
    run_job(context, _job(lambda _: JobOutcome.done("new")))
    with context.database.reading() as connection:
        assert [run.detail for run in recent_runs(connection, "default")] == ["new"]


def test_projects_do_not_meet(context: Context) -> None:
    other = Context(
        context.settings.model_copy(update={"project": "other"}), context.clock, context.database, context.event_log
    )

    def nested(_: JobContext) -> JobOutcome:
        return JobOutcome.done(str(run_job(other, _job(lambda _: JobOutcome.done()))))

    assert run_job(context, _job(nested)) == 0
    assert _last(context).detail == "0"


@pytest.mark.parametrize(("name", "deadline"), [("Bad", 1.0), ("", 1.0), ("good", 0.0), ("good\n", 1.0)])
def test_a_bad_declaration_is_refused(name: str, deadline: float) -> None:
    with pytest.raises(ValueError, match="job"):
        Job(name, lambda _: JobOutcome.done(), lambda _: 1.0, deadline)


def test_without_a_store_a_job_is_tried_later(context: Context) -> None:
    away = Database.open("postgresql://user@127.0.0.1:1/none")
    homeless = Context(context.settings, context.clock, away, context.event_log)
    assert run_job(homeless, _job(lambda _: JobOutcome.done())) == 75
    away.close()
