"""Points are kept once, filled when an experiment has ended and settled, and read back as a report."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import insert, select

from infra.contracts import Interaction, ManualClock, Message
from infra.db import Database
from infra.db.tables import experiments, exposures, interactions, labels, offline_online_points
from infra.runtime import Context, open_context
from infra.settings import Settings
from reward_model.offline_online import Rate
from reward_model.offline_online_repository import OfflineOnlineRepository
from reward_model.offline_online_service import (
    contrasted,
    fill_points,
    fixed_prompts,
    prompt_set_hash,
    record_predictions,
    report,
)

PROMPTS = tuple((Message("user", f"question {i}"),) for i in range(4))
NOW = 1_700_000_000.0


@pytest.fixture
def context(settings: Settings, clock: ManualClock) -> Iterator[Context]:
    opened = open_context(settings, clock)
    yield opened
    opened.close()


def predict(
    database: Database, candidate: str, love: float, project: str = "default", contrasts: dict[str, float] | None = None
) -> list[str]:
    spread = np.array([-0.01, 0.01] * 4)
    with database.transaction() as connection:
        return record_predictions(
            connection,
            project,
            candidate=candidate,
            control="base",
            reward_model="reward@3",
            prompts=PROMPTS,
            candidate_scores={"love": love + spread, "harm": np.full(8, np.nan)},
            control_scores={"love": 0.2 + spread},
            candidate_prompt=np.repeat(np.arange(4), 2),
            control_prompt=np.repeat(np.arange(4), 2),
            now=NOW,
            contrasts=contrasts,
        )


def trial(
    database: Database,
    name: str,
    candidate: str,
    *,
    ended_at: float | None,
    project: str = "default",
    others: Sequence[str] = (),
) -> None:
    row: dict[str, Any] = {
        "project": project,
        "experiment_id": name,
        "challenger": candidate,
        "control": "base",
        "salt": "s",
        "status": "running" if ended_at is None else "rolled_back",
        "phases": [],
        "config": {"freeze_after_seconds": 100.0},
        "started_at": NOW - 1000.0,
        "ended_at": ended_at,
        "kind": "challenge",
        "others": list(others),
        "slot": [0.0, 1.0],
    }
    with database.transaction() as connection:
        connection.execute(insert(experiments).values(row))


def people(
    database: Database,
    name: str,
    arm: str,
    loves: Sequence[float | None],
    *,
    arms_seen: int = 1,
    project: str = "default",
    version: int = 1,
    prefix: str = "",
) -> None:
    """One person with one answer for each of `loves`."""
    with database.transaction() as connection:
        for i, love in enumerate(loves):
            user, response = f"{prefix}{arm}{i}", f"{prefix}{name}-{arm}-{i}"
            made = Interaction(
                project=project,
                response_id=response,
                conversation_id=response,
                created_at=NOW - 500.0,
                messages=(Message("user", "why?"),),
                answers=(),
            )
            shown: dict[str, Any] = {
                "project": project,
                "response_id": response,
                "conversation_id": response,
                "user_key": user,
                "created_at": NOW - 500.0,
                "adapter": "a@1",
                "experiment": name,
                "arm": arm,
                "propensity": 0.5,
                "phase": 0,
                "source": "gateway",
                "payload": msgspec.msgpack.encode(made),
                "content_hash": b"12345678",
            }
            connection.execute(insert(interactions).values(shown))
            seen = {"project": project, "experiment_id": name, "user_key": user, "arm": arm, "propensity": 0.5}
            connection.execute(
                insert(exposures).values(
                    seen | {"phase": 0, "arms_seen": arms_seen, "first_at": NOW - 500.0, "stage": 2}
                )
            )
            connection.execute(insert(labels).values(label(project, response, version, love)))


def label(project: str, response: str, version: int, love: float | None, made_at: float = NOW - 50.0) -> dict[str, Any]:
    return {
        "project": project,
        "response_id": response,
        "choice": 0,
        "version": version,
        "status": "final" if version else "provisional",
        "objective_values": {"love": love},
        "weights": {"love": 1.0},
        "events_counted": 1,
        "config_hash": "h",
        "made_at": made_at,
        "window_closes_at": NOW - 60.0,
    }


def ended(context: Context, name: str = "e1", candidate: str = "a@1") -> None:
    """An experiment that settled an instant ago: 40 people a side, 16 and 8 of them with love."""
    trial(context.database, name, candidate, ended_at=context.clock.now() - 101.0)
    people(context.database, name, "challenger", [1.0] * 16 + [0.0] * 24)
    people(context.database, name, "control", [1.0] * 8 + [0.0] * 32)


def rows(database: Database) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(select(offline_online_points)).mappings())


def test_a_contrast_stretches_the_difference_to_the_control_by_hand() -> None:
    """.2 + 1.5 x (.3 - .2); errors 1.5 x .02 and .5 x .04 beside each other; a rate stays a rate."""
    found = contrasted(Rate(0.3, 0.02), Rate(0.2, 0.04), 1.5)
    assert (found.value, found.error) == pytest.approx((0.35, np.hypot(0.03, 0.02)))
    assert contrasted(Rate(0.3, 0.02), Rate(0.2, 0.04), 1.0) == Rate(0.3, 0.02)
    assert contrasted(Rate(0.01, 0.0), Rate(0.4, 0.0), 1.5).value == 0.0


def test_predictions_are_kept_with_the_contrast_of_their_head(context: Context) -> None:
    predict(context.database, "a@1", 0.3, contrasts={"love": 1.5})
    predict(context.database, "a@2", 0.3, contrasts={"harm": 1.5})
    with context.database.reading() as connection:
        c = offline_online_points.c
        rows = connection.execute(
            select(c.predicted, c.predicted_error, c.predicted_control).order_by(c.candidate)
        ).all()
    spread = 0.01 / np.sqrt(4)
    assert rows[0] == pytest.approx((0.35, spread * np.hypot(1.5, 0.5), 0.2))
    assert rows[1] == pytest.approx((0.3, spread, 0.2))


def test_the_first_prediction_of_a_candidate_stands(database: Database) -> None:
    assert predict(database, "a@1", 0.3) == ["love"]
    assert predict(database, "a@1", 0.9) == []
    assert predict(database, "a@1", 0.5, project="other") == ["love"]
    kept = [row for row in rows(database) if row["project"] == "default"]
    assert len(kept) == 1
    assert kept[0]["predicted"] == pytest.approx(0.3)
    assert kept[0]["predicted_control"] == pytest.approx(0.2)
    assert kept[0]["predicted_error"] == pytest.approx(np.sqrt(4 * 0.0002 / 2) / 4)
    assert (kept[0]["prompts"], kept[0]["prompt_set"]) == (4, prompt_set_hash(PROMPTS))
    assert kept[0]["realised"] is None


def test_a_point_is_filled_when_its_experiment_has_settled(context: Context) -> None:
    predict(context.database, "a@1", 0.3)
    ended(context)
    assert fill_points(context) == [("a@1", "love")]
    (row,) = rows(context.database)
    assert (row["experiment_id"], row["realised_people"], row["realised_control_people"]) == ("e1", 40, 40)
    assert row["realised"] == pytest.approx(0.4)
    assert row["realised_control"] == pytest.approx(0.2)
    assert row["realised_error"] == pytest.approx(np.sqrt(0.4 * 0.6 / 39))
    assert fill_points(context) == []


def test_nothing_is_filled_before(context: Context) -> None:
    now = context.clock.now()
    predict(context.database, "a@1", 0.3)
    assert fill_points(context) == []
    trial(context.database, "e1", "a@1", ended_at=None)
    people(context.database, "e1", "challenger", [1.0] * 40)
    assert fill_points(context) == []
    trial(context.database, "e2", "a@1", ended_at=now - 99.0)
    people(context.database, "e2", "challenger", [1.0] * 40, prefix="x")
    assert fill_points(context) == []


def test_too_few_people_leave_the_point_open(context: Context) -> None:
    predict(context.database, "a@1", 0.3)
    trial(context.database, "e1", "a@1", ended_at=context.clock.now() - 1000.0)
    people(context.database, "e1", "challenger", [1.0] * 29)
    assert fill_points(context) == []
    assert rows(context.database)[0]["realised_at"] is None


def test_who_saw_both_arms_has_no_value_or_is_provisional_does_not_count(context: Context) -> None:
    predict(context.database, "a@1", 0.3)
    ended(context)
    people(context.database, "e1", "challenger", [1.0] * 50, arms_seen=2, prefix="both")
    people(context.database, "e1", "challenger", [None] * 50, prefix="silent")
    people(context.database, "e1", "challenger", [1.0] * 50, version=0, prefix="early")
    fill_points(context)
    (row,) = rows(context.database)
    assert row["realised"] == pytest.approx(0.4)
    assert row["realised_people"] == 40


def test_the_newest_label_counts(context: Context) -> None:
    predict(context.database, "a@1", 0.3)
    ended(context)
    with context.database.transaction() as connection:
        for i in range(16, 20):
            connection.execute(insert(labels).values(label("default", f"e1-challenger-{i}", 2, 1.0)))
        connection.execute(
            insert(labels).values(label("default", "e1-challenger-21", 2, 1.0, made_at=context.clock.now() + 1.0))
        )
    fill_points(context)
    assert rows(context.database)[0]["realised"] == pytest.approx(0.5)


def test_a_lost_lease_writes_nothing(context: Context) -> None:
    predict(context.database, "a@1", 0.3)
    ended(context)

    def lost(_connection: object) -> None:
        raise RuntimeError("lease lost")

    with pytest.raises(RuntimeError, match="lease lost"):
        fill_points(context, lost)
    assert rows(context.database)[0]["realised_at"] is None


def test_the_report_has_the_candidates_with_both_halves(context: Context) -> None:
    predict(context.database, "a@1", 0.3)
    predict(context.database, "a@2", 0.35)
    ended(context)
    fill_points(context)
    with context.database.reading() as connection:
        found = report(connection, "default")
        assert [point.candidate for point in found.points] == ["a@1"]
        assert found.trust.level == "unproven"
        assert report(connection, "other").points == ()
        (point,) = OfflineOnlineRepository(connection, "default").points("love")
    assert point.control_realised is not None
    assert point.control_realised.value == pytest.approx(0.2)


def test_every_candidate_of_several_has_its_point(context: Context) -> None:
    """Only the first one's was ever filled in: the gate learnt nothing from the others' people."""
    for candidate in ("a@1", "a@2", "a@3"):
        predict(context.database, candidate, 0.3)
    trial(context.database, "e1", "a@1", ended_at=context.clock.now() - 101.0, others=["a@2"])
    people(context.database, "e1", "challenger", [1.0] * 16 + [0.0] * 24)
    people(context.database, "e1", "challenger-2", [1.0] * 30 + [0.0] * 10)
    people(context.database, "e1", "control", [1.0] * 8 + [0.0] * 32)
    assert fill_points(context) == [("a@1", "love"), ("a@2", "love")]
    with context.database.reading() as connection:
        points = OfflineOnlineRepository(connection, "default").points("love")
    assert [(point.candidate, point.realised.value) for point in points] == [
        ("a@1", pytest.approx(0.4)), ("a@2", pytest.approx(0.75))
    ]  # fmt: skip
    assert all(point.control_realised is not None for point in points)


def test_both_stores_answer_alike(database: Database) -> None:
    predict(database, "a@1", 0.3)
    trial(database, "e1", "a@1", ended_at=NOW - 1000.0)
    people(database, "e1", "challenger", [1.0] * 10 + [0.0] * 30)
    with database.transaction() as connection:
        repository = OfflineOnlineRepository(connection, "default")
        (waiting,) = repository.waiting()
        found = repository.arm_labels("e1", "love", NOW)
    assert (waiting.experiment_id, waiting.config) == ("e1", {"freeze_after_seconds": 100.0})
    assert sorted(row.value for row in found) == [0.0] * 30 + [1.0] * 10


def test_fixed_prompts_are_the_same_for_everybody() -> None:
    stock = {f"c{i}": (Message("user", f"question {i}"),) for i in range(20)}
    chosen = fixed_prompts(stock, 5)
    assert chosen == fixed_prompts(dict(reversed(stock.items())), 5)
    assert len(chosen) == 5
    assert prompt_set_hash(PROMPTS) == prompt_set_hash(PROMPTS[::-1])
    assert prompt_set_hash(PROMPTS) != prompt_set_hash(PROMPTS[:3])
