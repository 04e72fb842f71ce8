"""A story of people in waves, and what can befall its delivery: shared by the short drills and the long ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, event

from ab_testing.ledger import canonical_json
from ab_testing.service import Look, decide
from infra.contracts import Decision, Interaction, ManualClock
from infra.db import Database, migrate
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.world import FREEZE_AFTER, LATENESS, World, ledger, quick

Visit = tuple[Interaction, dict[str, float | None]]
EVERY = 10.0
WAVES, PEOPLE = 5, 60
LOOKS = WAVES + int(1.5 * FREEZE_AFTER / EVERY)

BETTER, EQUAL = (0.75, 0.25), (0.3, 0.3)
"""Love rates of challenger and control."""


@dataclass
class Delivery:
    """Everything in time and once; drills change a part of it."""

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        """Visits of a wave reach the store."""
        world.write(visits)

    def later(self, world: World, look: int) -> None:
        """What else happens before a look."""

    def look(self, world: World) -> Look:
        """A look, `EVERY` seconds after the last."""
        return world.look(EVERY)


def new_world(settings: Settings, event_log: EventLog, path: Path, **rules: object) -> World:
    """A store of its own; the settings, and so every hash, are those of its siblings."""
    url = f"sqlite:///{path}"
    migrate(url)
    rules = {"min_people_per_arm": 60, "stability_top_people": 3, "metric_silence_seconds": 25.0, **rules}
    return World(quick(settings, **rules), ManualClock(), Database.open(url), event_log)


def story(world: World, rates: tuple[float, float], delivery: Delivery | None = None, seed: int = 1) -> list[Decision]:
    """Five waves, looked at every ten seconds, until everything is frozen; returns the ledger."""
    delivery = delivery or Delivery()
    world.draw = np.random.default_rng(seed)
    world.start()
    for number in range(LOOKS):
        if number < WAVES:
            visits = world.visits(PEOPLE, challenger=rates[0], control=rates[1])
            delivery.write(world, visits, number)
        delivery.later(world, number)
        delivery.look(world)
    return ledger(world)


def text(rows: list[Decision]) -> str:
    """As bytes are compared."""
    import msgspec

    return "\n".join(canonical_json(msgspec.to_builtins(row)) for row in rows)


def kinds(rows: list[Decision]) -> list[str]:
    """Kinds and codes in order."""
    return [f"{row.kind}:{row.evidence['code']}" for row in rows]


class Killed(BaseException):
    """The process is gone: nothing handles it."""


@contextmanager
def killed_at(number: int) -> Iterator[Callable[[], int]]:
    """Raise at the `number`-th statement or commit of any store from now on; yields how many there have been."""
    count = 0

    def strike(*_arguments: object) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Killed

    event.listen(Engine, "before_cursor_execute", strike)
    event.listen(Engine, "commit", strike)
    try:
        yield lambda: count
    finally:
        event.remove(Engine, "before_cursor_execute", strike)
        event.remove(Engine, "commit", strike)


def decide_off(world: World, offset: float) -> Look:
    """A look of a promoter whose clock is off by so many seconds."""
    world.clock.advance(EVERY)
    world.consumed()
    return decide(replace(world.context, clock=ManualClock(world.clock.now() + offset)) if offset else world.context)


@dataclass
class KilledEverywhere(Delivery):
    """Every look is killed at its first statement, then at its second, and so on, until one comes to its end."""

    kills: int = 0

    def look(self, world: World) -> Look:
        world.clock.advance(EVERY)
        world.consumed()
        number = 0
        while True:
            number += 1
            with killed_at(number):
                try:
                    return decide(world.context)
                except Killed:
                    self.kills += 1


@dataclass
class TenTimes(Delivery):
    """Every record is delivered ten times, some of them much later."""

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        for _ in range(10):
            world.write(visits)
        self.all = [*getattr(self, "all", []), *visits]

    def later(self, world: World, look: int) -> None:
        if look % 5 == 4:
            world.write(self.all)


@dataclass
class Reordered(Delivery):
    """Within a wave everything comes in another order and in pieces; labels come as late as they may."""

    seed: int = 0

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        order = np.random.default_rng((self.seed, wave)).permutation(len(visits))
        for pieces in np.array_split(order, 8):
            world.write([visits[place] for place in pieces], final=False)
        self.waiting = [*getattr(self, "waiting", []), (world.clock.now(), [visits[place] for place in order])]

    def later(self, world: World, look: int) -> None:
        due = [visits for at, visits in self.waiting if at + 20.0 + LATENESS <= world.clock.now() + EVERY]
        self.waiting = self.waiting[len(due) :]
        for visits in due:
            world.write(visits)
