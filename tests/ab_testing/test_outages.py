"""Outage drills: none ever promotes, and where no frozen value is touched the ledger is the same to the byte."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from ab_testing.service import Look
from infra.db.tables import labels
from infra.event_log.port import EventLog
from infra.settings import Settings
from tests.ab_testing.outages import (
    BETTER,
    EQUAL,
    EVERY,
    Delivery,
    KilledEverywhere,
    Reordered,
    TenTimes,
    Visit,
    decide_off,
    kinds,
    new_world,
    story,
    text,
)
from tests.ab_testing.world import World

DAY = 86_400.0


@dataclass
class FeedbackADayLate(Delivery):
    """What people say a day later remakes labels that were counted already: all loved everything."""

    said: list[Visit] = field(default_factory=list)

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        world.write(visits)
        self.said += visits

    def later(self, world: World, look: int) -> None:
        if look == 10:
            with world.database.transaction() as connection:
                for interaction, _values in self.said:
                    row = world.label(interaction, {"love": 1.0, "harm": 1.0}, 2, world.clock.now() + DAY)
                    connection.execute(insert(labels).values(**row))


@dataclass
class KilledInTwo(KilledEverywhere):
    """Killed everywhere, at the looks at which something is frozen and decided; elsewhere undisturbed."""

    looks: int = 0

    def look(self, world: World) -> Look:
        self.looks += 1
        return super().look(world) if self.looks in (6, 9) else world.look(EVERY)


@dataclass
class Off(Delivery):
    """The promoter's clock is off all the time, by less than makes a watermark stale."""

    offset: float = 0.0

    def look(self, world: World) -> Look:
        return decide_off(world, self.offset)


READINGS = ("decided_at", "watermark", "decision_id", "hash", "previous_hash")
"""Of a row: what the promoter's own clock says, and what is made from it."""


def without_clock(ledger: str) -> list[dict[str, Any]]:
    """The rows, less what the clock says itself: evidence, reasons, effects are left."""
    rows = [json.loads(line) for line in ledger.splitlines()]
    return [{name: value for name, value in row.items() if name not in READINGS} for row in rows]


def undisturbed(settings: Settings, event_log: EventLog, tmp_path: Path, **rules: object) -> str:
    """The ledger of the story in which nothing goes wrong: the challenger is better and is promoted."""
    rows = story(new_world(settings, event_log, tmp_path / "undisturbed.sqlite3", **rules), BETTER)
    assert kinds(rows)[-1] == "promote:better"
    return text(rows)


def test_where_no_frozen_value_is_touched_the_ledger_is_the_same(
    settings: Settings, event_log: EventLog, tmp_path: Path
) -> None:
    clean = undisturbed(settings, event_log, tmp_path)
    killed = KilledInTwo()
    for delivery in (TenTimes(), Reordered(1), FeedbackADayLate(), killed):
        name = type(delivery).__name__
        world = new_world(settings, event_log, tmp_path / f"{name}.sqlite3")
        assert text(story(world, BETTER, delivery)) == clean, name
    assert killed.kills > 30
    for offset in (2.0, -2.0):
        world = new_world(settings, event_log, tmp_path / f"off {offset}.sqlite3")
        assert without_clock(text(story(world, BETTER, Off(offset)))) == without_clock(clean), offset


RAMP: dict[str, object] = {"ramp_shares": (0.25, 0.5), "min_people_per_phase": 15, "min_phase_seconds": 15.0}


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rules", [{}, RAMP], ids=["one step", "ramp"])
def test_killed_at_every_statement_of_every_look(
    settings: Settings, event_log: EventLog, tmp_path: Path, rules: dict[str, object]
) -> None:
    clean = undisturbed(settings, event_log, tmp_path, **rules)
    assert clean.count('"kind":"ramp"') == (1 if rules else 0)
    delivery = KilledEverywhere()
    world = new_world(settings, event_log, tmp_path / "killed.sqlite3", **rules)
    assert text(story(world, BETTER, delivery)) == clean
    assert delivery.kills > 300


@dataclass
class NothingMore(Delivery):
    """After the second wave no event arrives, from anybody."""

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        if wave < 2:
            world.write(visits)


@dataclass
class SilentArm(Delivery):
    """From the third wave on nothing that an arm's people say arrives: their answers count as never shown."""

    arm: str = "control"

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        lost = wave >= 2
        world.write([(i, {"love": None, "harm": None} if lost and i.arm == self.arm else v) for i, v in visits])


@dataclass
class LostArm(SilentArm):
    """From the third wave on an arm's answers themselves never reach the store."""

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        world.write([visit for visit in visits if wave < 2 or visit[0].arm != self.arm])


@dataclass
class NotANumber(Delivery):
    """From the third wave on labels of the control are NaN."""

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        nan = float("nan")
        lost = wave >= 2
        world.write([(i, {"love": nan, "harm": nan} if lost and i.arm == "control" else v) for i, v in visits])


@dataclass
class Skewed(Delivery):
    """At every other look the promoter's clock is off by an hour, ahead and behind in turn."""

    looks: int = 0

    def look(self, world: World) -> Look:
        self.looks += 1
        return decide_off(world, (3600.0, 0.0, -3600.0, 0.0)[(self.looks - 1) % 4])


@dataclass
class ADayLate(Delivery):
    """Half of all people come to the store a day late."""

    late: list[Visit] = field(default_factory=list)

    def write(self, world: World, visits: list[Visit], wave: int) -> None:
        self.late += visits[::2]
        world.write(visits[1::2])

    def later(self, world: World, look: int) -> None:
        if look == 9:
            world.clock.advance(DAY)
            world.write(self.late)


HOLDS: list[Any] = [
    (NothingMore(), ("hold:stale_metric",)),
    (SilentArm("control"), ("hold:one_armed_metric",)),
    pytest.param(SilentArm("challenger"), ("hold:one_armed_metric",), marks=pytest.mark.full),
    pytest.param(LostArm("control"), ("hold:sample_ratio_mismatch", "hold:one_armed_metric"), marks=pytest.mark.full),
    (LostArm("challenger"), ("hold:sample_ratio_mismatch", "hold:one_armed_metric")),
    (NotANumber(), ("hold:not_a_number",)),
    (Skewed(), ("hold:stale", "hold:clock_behind")),
    (ADayLate(), ()),
]


@pytest.mark.parametrize(("delivery", "codes"), HOLDS, ids=lambda value: type(value).__name__)
def test_outages_promote_nobody(
    settings: Settings, event_log: EventLog, tmp_path: Path, delivery: Delivery, codes: tuple[str, ...]
) -> None:
    """The challenger is no better; the outage must not make it so, and is named."""
    world = new_world(settings, event_log, tmp_path / "outage.sqlite3", min_people_per_arm=40)
    found = kinds(story(world, EQUAL, delivery))
    assert not [kind for kind in found if kind.startswith("promote")]
    assert not codes or any(code in found for code in codes), found


OUTAGES: tuple[Callable[[], Delivery], ...] = (
    NothingMore, partial(SilentArm, "control"), partial(SilentArm, "challenger"), partial(LostArm, "control"),
    partial(LostArm, "challenger"), NotANumber, Skewed, ADayLate,
)  # fmt: skip


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 7))
def test_outages_promote_nobody_in_other_histories(
    settings: Settings, event_log: EventLog, tmp_path: Path, seed: int
) -> None:
    for number, outage in enumerate((Delivery, *OUTAGES)):
        world = new_world(settings, event_log, tmp_path / f"{number}.sqlite3", min_people_per_arm=40)
        found = kinds(story(world, EQUAL, outage(), seed))
        assert not [kind for kind in found if kind.startswith("promote")], (number, found)
