"""How long a look at an experiment takes with many people in it: `python -m tests.benchmarks.bench_decide [people]`.

A real store (SQLite), the product's own path: answers and final labels go in, everybody with two more from the days
before the experiment, and the job's function `decide` freezes, counts and decides with covariates and segments.
Afterwards looks with new people, one every 15 s of the store's time, as the job runs. From frozen value to decision =
the wait for the next look (at most 15 s) + the look.
"""

import platform
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from ab_testing.routing import assign
from ab_testing.service import decide
from ab_testing.values_repository import ValuesRepository
from infra.contracts import Interaction, ManualClock
from infra.db import Database, insert_ignore_many, migrate
from infra.db.tables import interactions, labels
from infra.event_log import open_event_log
from infra.settings import Settings
from infra.settings.infrastructure import EventLogSettings
from tests.ab_testing.world import FREEZE_AFTER, LABEL_WINDOW, LATENESS, World, quick

LOOK_EVERY = 15.0
LOOKS = 40
PEOPLE_A_LOOK = 250
EARLIER = (2 * 86400.0, 9 * 86400.0)
"""How long before the first answer in the experiment each person got another one, seconds."""
METRICS = (
    {"name": "love", "objective": "love", "role": "goal"},
    {"name": "liked", "objective": "love", "role": "goal", "aggregate": "ratio", "missing": "zero", "cap": 10.0},
    {"name": "loves", "objective": "love", "role": "goal", "aggregate": "sum", "missing": "zero", "cap": 5.0},
    {"name": "dwell", "objective": "dwell", "role": "guardrail", "aggregate": "mean", "missing": "zero"},
    {"name": "harm", "objective": "harm", "role": "guardrail", "direction": "lower", "missing": "zero", "delta": 0.01},
    {"name": "feedback_rate", "objective": "feedback", "role": "guardrail", "missing": "zero"},
)
_INTERACTION = (
    "project", "response_id", "conversation_id", "user_key", "created_at", "adapter", "experiment", "arm",
    "propensity", "phase", "source", "known_at", "payload", "content_hash",
)  # fmt: skip
_LABEL = (
    "project", "response_id", "choice", "version", "status", "objective_values", "weights", "events_counted",
    "config_hash", "made_at", "window_closes_at",
)  # fmt: skip


def arrive(world: World, count: int, span: float) -> None:
    """That many new people with one answer and one final label each, over the `span` seconds before now, and as many of
    either from before the experiment as `EARLIER` says."""
    experiment, now = world.experiment(), world.clock.now()
    loves = world.draw.random((count, 1 + len(EARLIER), 3)) < (0.3, 0.5, 0.02)
    answers, made = [], []
    for k in range(count):
        world.people += 1
        user, at = f"user-{world.people:07d}", now - span * (1 - k / count)
        arm = assign(experiment, user)
        for place, before in enumerate((0.0, *EARLIER)):
            here = (experiment.experiment_id, arm.arm, arm.propensity, arm.phase) if place == 0 else (None,) * 4
            response_id, created_at = f"r-{world.people:07d}-{place}", at - before
            interaction = Interaction(
                project=world.project, response_id=response_id, conversation_id=user, created_at=created_at,
                messages=(), answers=(), adapter=arm.adapter, user_key=user, experiment=here[0], arm=here[1],
                propensity=here[2], phase=here[3],
            )  # fmt: skip
            payload = msgspec.msgpack.encode(interaction)
            answers.append((
                world.project, response_id, user, user, created_at, arm.adapter, *here, "gateway", now - before,
                payload, b"12345678",
            ))  # fmt: skip
            love, dwell, harm = loves[k, place]
            values = {"love": float(love), "dwell": float(dwell) * 0.5, "harm": float(harm)}
            closed = created_at + LABEL_WINDOW
            made.append((
                world.project, response_id, 0, 1, "final", values, {}, 1, "", closed + LATENESS, closed,
            ))  # fmt: skip
    with world.database.transaction() as connection:
        insert_ignore_many(connection, interactions, _INTERACTION, answers)
        insert_ignore_many(connection, labels, _LABEL, made)


def look(world: World) -> tuple[float, float, int]:
    """Seconds by the wall clock and of the processor, and people frozen, of one look."""
    world.consumed()
    wall, processor = time.perf_counter(), time.process_time()
    found = decide(world.context)
    assert found.verdict is not None
    assert found.verdict.kind == "hold", found.text
    return time.perf_counter() - wall, time.process_time() - processor, found.frozen


def main(people: int) -> None:
    """Fill, look, report."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), event_log=EventLogSettings(replication_factor=1))
        rules = quick(
            settings, metrics=METRICS, min_people_per_arm=10**9, max_people=10**9, max_runtime_seconds=10**9,
            alpha_rollback=1e-9, alpha_promote=1e-9, covariate_days=14.0,
        )  # fmt: skip
        url = f"sqlite:///{folder}/store.sqlite3"
        migrate(url)
        clock = ManualClock()
        database, log = Database.open(url), open_event_log(settings, clock)
        world = World(rules, clock, database, log)
        world.start()
        for _ in range(0, people, 20_000):
            world.clock.advance(600.0)
            arrive(world, 20_000, 600.0)
        world.clock.advance(2 * FREEZE_AFTER)
        wall, processor, frozen = look(world)
        print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, SQLite")
        print(
            f"backlog of {frozen} people x {len(METRICS)} metrics: {wall:.1f} s, "
            f"{1e3 * processor / frozen:.2f} ms CPU a person"
        )
        idle = [look(world) for _ in range(5)]
        print(f"look with nobody new: median {1e3 * float(np.median([row[0] for row in idle])):.1f} ms")
        rows = []
        for _ in range(LOOKS):
            world.clock.advance(LOOK_EVERY)
            arrive(world, PEOPLE_A_LOOK, LOOK_EVERY)
            rows.append(look(world))
        rows = rows[-LOOKS // 2 :]
        walls = np.array([row[0] for row in rows])
        counted = np.mean([row[2] for row in rows])
        print(
            f"look with {counted:.0f} new people: median {np.median(walls):.2f} s, longest {walls.max():.2f} s, "
            f"{np.mean([row[1] for row in rows]):.2f} s CPU"
        )
        waits = np.random.default_rng(0).uniform(0, LOOK_EVERY, (1000, 1)) + walls
        print(f"from frozen value to decision, 99th percentile: {np.quantile(waits, 0.99):.1f} s (target 60 s)")
        with database.reading() as connection:
            states = ValuesRepository(connection, world.project, world.experiment().experiment_id).states()
        for row in states:
            print(f"state {row.arm or '-'} {row.metric}: {len(row.state)} bytes, {row.people} people")
        database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
