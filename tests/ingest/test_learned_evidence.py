"""The jobs that learn what makes labels true, on a real store: who votes, how long people read, who comes back."""

from typing import TYPE_CHECKING

import msgspec
import pytest
from sqlalchemy import insert, select, update

from infra.contracts import ManualClock
from infra.db.tables import experiments, labels, selection_habits
from infra.runtime import JobContext
from ingest.asof import labels_as_of
from ingest.dwell.jobs import DWELL_JOB, run_dwell_model
from ingest.dwell.repository import DwellRepository, UnknownModel
from ingest.repository import FeedbackRepository
from ingest.selection.jobs import SELECTION_JOB, run_propensity
from ingest.selection.repository import SelectionRepository
from ingest.validity.jobs import VALIDITY_JOB, run_validity
from ingest.validity.repository import ValidityRepository
from tests.ingest.builders import PROJECT, START, event, interaction
from tests.ingest.worlds import CHAMPION, DAY, close_windows, crown, populate, put, with_ingest

if TYPE_CHECKING:
    from infra.runtime import Context

JOBS = (DWELL_JOB, SELECTION_JOB, VALIDITY_JOB)


@pytest.fixture
def peopled(sqlite_context: "Context", clock: ManualClock) -> "Context":
    """120 people over two weeks, every window closed, on the 24th day."""
    with_ingest(sqlite_context, validity={"min_people": 50}, dwell={"min_readings": 100}, selection={"min_votes": 50})
    populate(sqlite_context, people=120, days=14, asked=0.1)
    clock.advance(24 * DAY)
    close_windows(sqlite_context, clock.now())
    return sqlite_context


def test_an_empty_store_starts_nothing_and_says_how_much_is_missing(context: "Context") -> None:
    for job in JOBS:
        assert job.waits_for is not None
        told = job.waits_for(context)
        assert told is not None
        assert "more windows have to close" in told
        outcome = job.run(JobContext(context))
        assert outcome.status == "skipped"
        assert "needed" in outcome.detail or "champion" in outcome.detail or "more people" in outcome.detail


def test_jobs_start_when_there_is_enough_and_then_wait_for_more(peopled: "Context") -> None:
    with peopled.database.transaction() as connection:
        crown(connection)
    for job in JOBS:
        assert job.waits_for is not None
        assert job.waits_for(peopled) is None
        assert job.run(JobContext(peopled)).status == "done"
        assert "more windows" in (job.waits_for(peopled) or "")


def test_votes_are_weighted_by_who_votes_and_the_sets_are_made_again(peopled: "Context", clock: ManualClock) -> None:
    outcome = run_propensity(JobContext(peopled))
    assert outcome.status == "done"
    with peopled.database.reading() as connection:
        newest = SelectionRepository(connection, PROJECT).newest()
        assert connection.execute(select(selection_habits.c.user_key)).first() is not None
    assert newest is not None
    report = newest[3]
    raw, corrected = (report["rates"][name]["value"] for name in ("likes among voters (raw)", "doubly robust"))
    assert raw > corrected + 0.02  # phones like less and vote less
    assert report["asked"]["answered"] == 1.0
    assert report["asked"]["rate"]["low"] <= corrected + 0.1

    at = clock.now()
    served = [
        interaction(f"late-{d}", user_key=f"of-{d}", created_at=at, adapter=CHAMPION) for d in ("mobile", "desktop")
    ]
    said = [
        event(f"late-{d}", s, user_key=f"of-{d}", device=d, derived_at=at + 1)
        for d in ("mobile", "desktop")
        for s in ("shown", "like")
    ]
    put(peopled, served, said)
    clock.advance(2 * DAY)
    close_windows(peopled, clock.now())
    with peopled.database.reading() as connection:
        found = FeedbackRepository(connection, PROJECT).final_labels(["late-mobile", "late-desktop"])
        made = labels_as_of(connection, PROJECT, clock.now())
    phone, desk = found["late-mobile", 0], found["late-desktop", 0]
    assert phone.weights["sentiment"] > 1.0 > desk.weights["sentiment"] > 0.0
    assert phone.weights["love"] == desk.weights["love"] == 1.0  # love speaks of everybody
    again = {(label.response_id, label.choice): label for label in made.labels}
    assert msgspec.json.encode(again["late-mobile", 0]) == msgspec.json.encode(phone)
    assert made.missing == []


def test_the_reading_model_stays_while_an_experiment_runs(peopled: "Context", clock: ManualClock) -> None:
    assert "no champion" in run_dwell_model(JobContext(peopled)).detail
    with peopled.database.transaction() as connection:
        crown(connection)
    assert "model 1" in run_dwell_model(JobContext(peopled)).detail
    clock.advance(DAY)
    running = {
        "project": PROJECT, "experiment_id": "e1", "challenger": "c@1", "control": CHAMPION, "salt": "s",
        "status": "running", "phases": [], "config": {}, "started_at": clock.now(),
        "kind": "challenge", "others": [], "slot": [0.0, 1.0],
    }  # fmt: skip
    with peopled.database.transaction() as connection:
        connection.execute(insert(experiments).values(running))
    clock.advance(DAY)
    assert "the model of its beginning stays" in run_dwell_model(JobContext(peopled)).detail
    with peopled.database.transaction() as connection:
        repository = DwellRepository(connection, PROJECT)
        in_force = repository.in_force()
        assert in_force is not None
        assert in_force[0] == 1
        connection.execute(update(experiments).values(status="promoted"))
        in_force = repository.in_force()
        assert in_force is not None
        assert in_force[0] == 2
        assert in_force[1].devices["all"].slope == pytest.approx(0.8, abs=0.1)
        with pytest.raises(UnknownModel, match="version 9"):
            repository.model(9)


def test_signals_that_predict_return_are_found_and_others_may_not_weigh(peopled: "Context", clock: ManualClock) -> None:
    assert run_validity(JobContext(peopled)).status == "done"
    with peopled.database.reading() as connection:
        found = ValidityRepository(connection, PROJECT).newest()
    assert found["sentiment"].verdict == "predicts"
    assert found["dwell"].verdict == "predicts"  # those who liked it read longer, here
    assert found["share"].verdict == "too_few"  # nobody shared: it does not vary
    assert (found["sentiment"].effect or 0) > 0.1


@pytest.mark.parametrize(("override", "weight"), [("", 0.0), ("a trial, Ann, 2026-11-21", 0.5)])
def test_a_weight_without_evidence_needs_a_written_override(
    context: "Context", clock: ManualClock, override: str, weight: float
) -> None:
    with_ingest(context, objectives={"dwell": {"weight": 0.5, "override": override}})
    put(context, [interaction("r1")], [event("r1", "shown"), event("r1", "like"), event("r1", "dwell", value=5.0)])
    clock.advance(2 * DAY)
    close_windows(context, clock.now())
    with context.database.reading() as connection:
        label = FeedbackRepository(connection, PROJECT).final_labels(["r1"])["r1", 0]
    assert label.values["dwell"] is not None
    assert label.weights["dwell"] == weight
    assert label.weights["love"] == 1.0  # the defaults carry an override of their own


def test_windows_of_different_length_close_one_after_the_other(context: "Context", clock: ManualClock) -> None:
    with_ingest(context, objectives={"reuse": {"window_seconds": 7 * DAY}})
    put(context, [interaction("r1")], [event("r1", "shown"), event("r1", "copy")])
    seen = []
    for day in (0.5, 2, 3, 8, 9):
        close_windows(context, START + day * DAY)
        with context.database.reading() as connection:
            rows = connection.execute(select(labels).order_by(labels.c.version)).all()
        seen.append([(row.version, *map(row.objective_values.get, ("love", "reuse"))) for row in rows])
    first, both = [(0, None, None), (1, 0.0, None)], [(1, 0.0, None), (2, 0.0, 1.0)]
    assert seen == [[(0, None, None)], first, first, both, both]
