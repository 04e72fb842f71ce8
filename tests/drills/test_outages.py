"""What stands under ingest goes away and comes back: broker, store, disk."""

import os
import resource
import signal
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from infra.db import Database
from tests.drills.audit import check, records_of, settle
from tests.drills.conftest import MakePlant
from tests.drills.stream import reactions, send
from tests.fixtures.broker import running_broker
from tests.fixtures.helpers import free_port

SECONDS = 6.0


@pytest.mark.broker
@pytest.mark.timeout(180)
def test_a_broker_that_stalls(make_plant: MakePlant) -> None:
    """SIGSTOP for longer than an append may take: the spool takes what comes, and hands it on after SIGCONT."""
    with running_broker() as servers, ExitStack() as closing:
        plant = make_plant(kind="kafka", bootstrap_servers=servers)
        closing.callback(plant.kill_all)
        plant.start()
        events = reactions(3, 100)
        senders = send(plant.url, events, seconds=SECONDS)
        broker = _listener(servers)
        time.sleep(1.5)
        os.kill(broker, signal.SIGSTOP)
        try:
            time.sleep(5.0)
        finally:
            os.kill(broker, signal.SIGCONT)
        for sender in senders:
            sender.join(60.0)
        assert all(set(sender.statuses) <= {202, 429, 503, 0} for sender in senders)
        settle(plant, events)
        check(plant, events, senders)


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_a_broker_killed_and_replaced_empty(make_plant: MakePlant) -> None:
    """Once the consumer has caught up the broker is killed; another, empty one takes its place at the same address."""
    port = free_port()
    with ExitStack() as closing:
        with running_broker(port) as servers:
            plant = make_plant(kind="kafka", bootstrap_servers=servers)
            closing.callback(plant.kill_all)
            plant.start()
            first = reactions(4, 60)
            senders = send(plant.url, first)
            for sender in senders:
                sender.join(60.0)
            settle(plant, first)
            earlier = records_of(plant.context)
        second = reactions(5, 60)  # acknowledged by the spool while there is no broker
        senders += send(plant.url, second, seconds=2.0)
        time.sleep(3.0)
        with running_broker(port):
            for sender in senders:
                sender.join(60.0)
            settle(plant, [*first, *second], 120.0)
            check(plant, [*first, *second], senders, earlier)
            plant.kill_all()
            plant.context.event_log.close()


@pytest.mark.timeout(180)
def test_a_store_that_is_locked(make_plant: MakePlant) -> None:
    """Another program holds SQLite's write lock: reactions are taken all the same, and stored when it lets go."""
    plant = make_plant()
    plant.start()
    events = reactions(6, 100)
    holder = sqlite3.connect(str(make_url(plant.settings.store_url).database), isolation_level=None)
    senders = send(plant.url, events, seconds=2.0)
    time.sleep(0.5)
    holder.execute("BEGIN IMMEDIATE")
    for sender in senders:
        sender.join(60.0)  # everything is acknowledged while the store is locked
    time.sleep(2.0)
    holder.execute("ROLLBACK")
    holder.close()
    settle(plant, events)
    check(plant, events, senders)


@pytest.mark.postgres
@pytest.mark.timeout(180)
def test_a_store_whose_connections_are_cut(make_plant: MakePlant, postgres_url: str) -> None:
    """PostgreSQL ends every session again and again, and then refuses new ones for a while."""
    plant = make_plant(postgres_url)
    plant.start()
    events = reactions(7, 100)
    senders = send(plant.url, events, seconds=SECONDS)
    name = make_url(postgres_url).database
    admin = Database.open(str(make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)))
    cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    try:
        for _ in range(5):
            time.sleep(0.7)
            with admin.transaction() as connection:
                connection.execute(cut, {"name": name})
        with admin.transaction() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            connection.execute(cut, {"name": name})
        time.sleep(3.0)
        with admin.transaction() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    finally:
        admin.close()
    for sender in senders:
        sender.join(60.0)
    settle(plant, events)
    check(plant, events, senders)


@pytest.mark.timeout(180)
def test_a_full_disk_under_the_log(make_plant: MakePlant) -> None:
    """The API may not write another byte: 503, nothing is acknowledged that is not durable, and it goes on after."""
    plant = make_plant()
    plant.start()
    first = reactions(8, 40)
    senders = send(plant.url, first)
    for sender in senders:
        sender.join(60.0)
    folder = plant.settings.data_dir
    sizes = [(folder / name).stat().st_size for name in ("log.sqlite3", "log.sqlite3-wal")]
    free = resource.prlimit(plant.pid("api"), resource.RLIMIT_FSIZE, (max(sizes), resource.RLIM_INFINITY))
    assert free[0] == resource.RLIM_INFINITY
    second = reactions(9, 100)
    senders += send(plant.url, second)
    time.sleep(3.0)
    resource.prlimit(plant.pid("api"), resource.RLIMIT_FSIZE, free)
    for sender in senders:
        sender.join(60.0)
    assert sum(sender.statuses.get(503, 0) for sender in senders) > 0, "the disk was never full"
    settle(plant, [*first, *second])
    check(plant, [*first, *second], senders)


def _listener(address: str) -> int:
    """The process that listens at `host:port`: the broker that the test itself has started."""
    port = int(address.rpartition(":")[2])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
            return _owner(fields[9])
    raise AssertionError(f"nobody listens at {address}")


def _owner(inode: str) -> int:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = [os.readlink(one) for one in (process / "fd").iterdir()]
        except OSError:
            continue
        if f"socket:[{inode}]" in links:
            return int(process.name)
    raise AssertionError(f"no process holds socket {inode}")
