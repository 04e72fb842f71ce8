"""A person's word about the champion, pauses of promotion, and the course that is kept of looks."""

from itertools import pairwise

import pytest
from sqlalchemy import select

from ab_testing.by_hand import NotPromotable, promote_by_hand
from ab_testing.course import EXPOSED, GROWTH
from ab_testing.course_repository import CourseRepository
from ab_testing.repository import ExperimentRepository
from infra.db.tables import serving_state
from infra.runtime.pausing import LOOP, PROMOTION, pause, resume
from tests.ab_testing.world import FREEZE_AFTER, World, ledger


def champion(world: World) -> tuple[str, str]:
    with world.database.reading() as connection:
        row = connection.execute(select(serving_state.c.champion, serving_state.c.last_proven)).one()
    return row.champion, row.last_proven


def test_an_adapter_is_promoted_by_hand_with_the_reason_in_the_ledger(world: World) -> None:
    world.look()
    ref = world.add_adapter(state="reserve")
    seen: list[str] = []
    promote_by_hand(world.context, ref, "release day", lambda _connection, row: seen.append(row.reason))
    (row,) = ledger(world)
    assert (row.kind, row.reason) == ("promote", "from base to style@1 by hand: release day")
    assert row.evidence == {"code": "promoted_by_hand", "from": "base", "to": "style@1"}
    assert champion(world) == ("style@1", "base")
    assert seen == [row.reason]
    with world.database.reading() as connection:
        assert ExperimentRepository(connection, world.project).adapter_state(ref) == "champion"


def test_what_did_not_pass_or_cannot_be_proven_is_not_promoted(small_world: World) -> None:
    small_world.look()
    refused = small_world.add_adapter(version=1, state="refused")
    unproven = small_world.add_adapter(version=2, state="challenger")
    small_world.prove(unproven, "refused", reason="other weights")
    for ref, said in ((refused, "is refused"), (unproven, "other weights"), ("style@9", "is missing")):
        with pytest.raises(NotPromotable, match=said):
            promote_by_hand(small_world.context, ref, "please")
    assert ledger(small_world) == []


def test_a_running_experiment_stops_after_a_promotion_by_hand(small_world: World) -> None:
    small_world.start()
    promote_by_hand(small_world.context, small_world.add_adapter(version=2, state="reserve"), "now")
    look = small_world.look(1.0)
    assert look.verdict is not None
    assert (look.verdict.kind, look.verdict.code) == ("stop", "champion_changed")


def test_while_promotion_is_paused_evidence_promotes_nobody(small_world: World) -> None:
    small_world.start()
    small_world.write(small_world.visits(300, challenger=0.7, control=0.3))
    pause(small_world.context, PROMOTION, "cli:ops", "audit week")
    held = small_world.look(2 * FREEZE_AFTER)
    assert held.verdict is not None
    assert held.verdict.kind == "hold"
    assert "promotion is paused by cli:ops: audit week" in held.verdict.reason
    resume(small_world.context, PROMOTION)
    assert small_world.look(1.0).text.startswith("promote")


def test_while_the_loop_is_paused_no_experiment_begins(small_world: World) -> None:
    small_world.prove(small_world.add_adapter())
    pause(small_world.context, LOOP, "cli:ops", "holiday")
    assert small_world.look().text == "the loop is paused by cli:ops: holiday"
    resume(small_world.context, LOOP)
    look = small_world.look()
    assert look.verdict is not None
    assert look.verdict.kind == "start"


def test_looks_leave_a_course_that_is_thinned(small_world: World) -> None:
    experiment = small_world.start()
    for _ in range(3):
        small_world.write(small_world.visits(40, challenger=0.5, control=0.5))
        small_world.look(2 * FREEZE_AFTER)
        small_world.look(1.0)  # nobody new: no point
    with small_world.database.reading() as connection:
        course = CourseRepository(connection, small_world.project)
        love = course.points(experiment.experiment_id, "challenger", "love", 100)
        exposed = course.points(experiment.experiment_id, "challenger", EXPOSED, 100)
        newest = course.points(experiment.experiment_id, "challenger", "love", 1)
    assert len(love) == 3
    assert all(after["people"] >= GROWTH * before["people"] for before, after in pairwise(love))
    assert love[-1]["people"] == love[-1]["people_challenger"] + love[-1]["people_control"] == 120
    assert love[-1]["low"] < love[-1]["effect"] < love[-1]["high"]
    assert [point["people"] for point in exposed] == [40, 80, 120]
    assert newest == love[-1:]
