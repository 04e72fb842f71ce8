"""What `bench_ingest` runs: each scenario once over fresh traffic, with the number of rows in the store checked."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from infra.contracts import uuid7
from infra.db import Database, migrate
from infra.db.tables.feedback import feedback_events, labels
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings, StoreSettings
from ingest.repository import FeedbackRepository
from tests.benchmarks import ingest_traffic
from tests.benchmarks.ingest_load import Outcome, load, rendered
from tests.benchmarks.ingest_processes import System, running
from tests.fixtures.broker import running_broker
from tests.fixtures.postgres import fresh_database, running_postgres

PROJECT = "default"
REPEATED = 0.01
"""Share of the requests that are sent twice, as by clients that saw no answer."""


@dataclass(frozen=True)
class Throughput:
    """One run. CPU microseconds an event; the rate counts unique events over CPU seconds of API and consumer."""

    events: int
    api: float
    consumer: float
    wall_seconds: float

    @property
    def per_core_second(self) -> float:
        return 1e6 / (self.api + self.consumer)

    @property
    def per_second(self) -> float:
        return self.events / self.wall_seconds


@dataclass(frozen=True)
class Place:
    """Where the product runs: settings, and the store they name."""

    settings: Settings
    database: Database


@contextmanager
def place(store: str, log: str) -> Iterator[Place]:
    """Fresh: `store` is sqlite or postgres (durable: fsync on), `log` is embedded or kafka."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        changes: dict[str, Any] = {}
        if store == "postgres":
            server = stack.enter_context(running_postgres(durable=True))
            changes["store"] = StoreSettings(url=stack.enter_context(fresh_database(server)))  # type: ignore[arg-type]
        if log == "kafka":
            address = stack.enter_context(running_broker())
            changes["event_log"] = EventLogSettings(
                kind="kafka", bootstrap_servers=address, replication_factor=1, session_timeout_seconds=6.0
            )
        settings = Settings(data_dir=folder, **changes)
        url = changes["store"].url if "store" in changes else f"sqlite:///{folder}/store.sqlite3"
        migrate(str(url))
        database = Database.open(str(url))
        stack.callback(database.close)
        yield Place(settings, database)


def throughput(where: Place, events: int, batch: int, seed: int, connections: int = 8) -> Throughput:
    """Post `events` unique events in batches; until the last of them is in the ledger with its label."""
    answers, made = ingest_traffic.traffic(events, seed)
    remember(where.database, answers)
    bodies = ingest_traffic.bodies(made, batch)
    again = bodies[:: round(1 / REPEATED)]
    before = stored(where.database)
    with running(where.settings) as system:
        warm_up(system)
        api, consumer = system.api.ask()[0], system.consumer.ask()[0]
        applied = system.consumer.ask()[1]
        started = time.perf_counter()
        outcome = load(system.port, rendered([*bodies, *again], system.port), connections)
        system.wait_applied(applied + events)
        wall = time.perf_counter() - started
        api, consumer = system.api.ask()[0] - api, system.consumer.ask()[0] - consumer
    check(where.database, before, made, outcome)
    return Throughput(events, 1e6 * api / events, 1e6 * consumer / events, wall)


def remember(database: Database, answers: list[str]) -> None:
    """The interactions of the answers are in the store before people react."""
    with database.transaction() as connection:
        FeedbackRepository(connection, PROJECT).insert_interactions(list(ingest_traffic.interactions(answers)))


def warm_up(system: System) -> None:
    """A hundred events through everything, so that imports, topics and groups are not measured."""
    bodies = [
        b'{"event_id":"%s","response_id":"warm-%d","signal":"shown"}' % (str(uuid7()).encode(), number)
        for number in range(100)
    ]
    target = system.consumer.ask()[1] + len(bodies)
    load(system.port, rendered(bodies, system.port))
    system.wait_applied(target)


def stored(database: Database) -> int:
    """Rows of the ledger."""
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(feedback_events)).scalar_one())


def check(database: Database, before: int, events: list[ingest_traffic.Event], outcome: Outcome) -> None:
    """Exactly once: every event has its row, repetitions none; every answer reacted to has its label."""
    assert outcome.refused == 0, f"{outcome.refused} requests were refused"
    rows = stored(database) - before - 100  # those of the warm-up
    assert rows == len(events), f"{rows} rows for {len(events)} events"
    answers = sorted({event["response_id"] for event in events})
    with database.reading() as connection:
        columns = labels.columns
        where = (columns.version == 0, columns.response_id.between(answers[0], answers[-1]))
        labelled = set(connection.execute(select(columns.response_id).where(*where)).scalars())
    assert labelled >= set(answers), f"{len(set(answers) - labelled)} answers without a label"


def latency(where: Place, batch: int, requests_per_second: float, seconds: float, seed: int) -> list[float]:
    """Seconds from sending an event to its label in the store, probed while load comes at the given rate: a probe is an
    event about an answer of its own, sent through the same API, its label looked for every 5 ms."""
    _, made = ingest_traffic.traffic(int(requests_per_second * seconds) * batch, seed)
    found: list[float] = []
    with running(where.settings) as system:
        warm_up(system)
        requests = rendered(ingest_traffic.bodies(made, batch), system.port)
        loader = threading.Thread(target=load, args=(system.port, requests, 8, requests_per_second))
        loader.start()
        time.sleep(1.0)
        while loader.is_alive():
            found.append(_probe(where.database, system))
            time.sleep(0.02)
        loader.join()
    return found


def _probe(database: Database, system: System) -> float:
    response_id = f"probe-{uuid7()}"
    body = b'{"event_id":"%s","response_id":"%s","signal":"like"}' % (str(uuid7()).encode(), response_id.encode())
    started = time.perf_counter()
    assert load(system.port, rendered([body], system.port), 1).refused == 0
    while True:
        with database.reading() as connection:
            if FeedbackRepository(connection, PROJECT).current_label(response_id, 0)[0] is not None:
                return time.perf_counter() - started
        time.sleep(0.005)


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
