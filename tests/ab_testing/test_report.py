"""The report repeats what the looks saw, and refuses a ledger that was touched."""

import math

import pytest

from ab_testing.ledger import LedgerTampered
from ab_testing.report import experiment_report
from infra.db.tables import decisions
from tests.ab_testing.world import FREEZE_AFTER, World


def test_evidence_over_time(small_world: World) -> None:
    world = small_world
    with world.database.reading() as connection:
        assert experiment_report(connection, world.project) is None
    world.start()
    world.write(world.visits(300, challenger=0.7, control=0.3))
    assert world.look(2 * FREEZE_AFTER).text.startswith("promote")
    with world.database.reading() as connection:
        report = experiment_report(connection, world.project)
        assert report == experiment_report(connection, world.project, report.experiment.experiment_id if report else "")
    assert report is not None
    love, harm = report.metrics
    assert len(love.points) == 30
    assert [point.people for point in love.points] == list(range(10, 301, 10))
    assert all(point.people_challenger + point.people_control == point.people for point in love.points)
    last, weighed = love.points[-1], report.decisions[-1].evidence["metrics"][0]  # type: ignore[index]
    assert last.log_e_better == pytest.approx(weighed["log_e_better"])
    assert last.rate_challenger == pytest.approx(weighed["rate_challenger"])
    assert last.low < last.effect < last.high
    assert love.boundary_better == pytest.approx(math.log(20))
    assert last.log_e_not_inferior is None
    assert harm.points[-1].log_e_not_inferior is not None
    assert [decision.kind for decision in report.decisions] == ["start", "promote"]


def test_a_touched_ledger_is_refused(small_world: World) -> None:
    small_world.start()
    small_world.look(1.0)
    with small_world.database.transaction() as connection:
        connection.execute(decisions.update().where(decisions.c.sequence == 1).values(reason="forged"))
    with small_world.database.reading() as connection, pytest.raises(LedgerTampered, match="decision 1"):
        experiment_report(connection, small_world.project)
