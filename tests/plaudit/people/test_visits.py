"""How people come: never more than there are places, one leaving lets the next in, and none after the doors close."""

import asyncio

from plaudit.people.visits import Town, VisitPlan, WaveTally


class Doors(Town):
    """Counts who is there; a visit lasts the longer the smaller its number."""

    def __init__(self) -> None:
        self.inside: set[int] = set()
        self.most = 0
        self.came: list[int] = []

    async def _visit(self, plan: VisitPlan, index: int, tally: WaveTally) -> None:
        tally.visits += 1
        self.came.append(index)
        self.inside.add(index)
        self.most = max(self.most, len(self.inside))
        for _ in range(1 + 10 * (index % 3)):
            await asyncio.sleep(0)
        self.inside.discard(index)


PLAN = VisitPlan(seed=1, first_person=100, people=20, prompts=["?"], concurrency=4)


def test_whoever_leaves_makes_room_for_the_next() -> None:
    town, seen = Doors(), []
    tally = asyncio.run(town.wave(PLAN, lambda now: seen.append(len(town.inside))))
    assert town.came == list(range(100, 120))
    assert (tally.visits, town.most, town.inside) == (20, 4, set())
    assert len(seen) == 20
    assert seen[:16] == [3] * 16, "no place stands empty before the last have come"


def test_nobody_comes_once_the_doors_are_closed_and_those_inside_finish() -> None:
    town = Doors()
    tally = asyncio.run(town.wave(PLAN, closed=lambda: len(town.came) >= 9))
    assert tally.visits == 9
    assert not town.inside
