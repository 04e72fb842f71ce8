"""Acts by hand go through the services of the commands, with a reason, and stand in the record."""

import pytest
from sqlalchemy import select

from infra.contracts import PlauditError
from infra.db.tables import adapters, audit_entries, dead_letters, decisions, experiments, pauses, serving_state
from infra.runtime import Context
from ingest.access import audit
from ingest.access.repository import AuditRepository
from serving.console.acting import ACTS, act
from serving.console.errors import NothingHere, ReasonNeeded
from serving.console.sessions import new_session

ANNA = new_session("console:anna", "admin", "k", 0.0)


def do(context: Context, name: str, subject: str = "", reason: str = "a drill") -> str:
    return act(context, ANNA, {"act": name, "subject": subject, "reason": reason})


def last_act(context: Context) -> tuple[str, str, str | None]:
    with context.database.reading() as connection:
        audit.verify(AuditRepository(connection, context.settings.project).entries())
        row = connection.execute(select(audit_entries).order_by(audit_entries.c.sequence.desc()).limit(1)).one()
    return row.actor, row.action, row.detail.get("reason")


def rows(context: Context, query: object) -> list[object]:
    with context.database.reading() as connection:
        return list(connection.execute(query).scalars())  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("on", "off", "subject", "action"),
    [("pause-loop", "resume-loop", "loop", "loop.paused"), ("pin", "unpin", "promotion", "champion.pinned")],
)
def test_the_loop_and_the_champion_are_stopped_and_let_go(
    empty: Context, on: str, off: str, subject: str, action: str
) -> None:
    assert do(empty, on) == f"/controls?done={on}"
    assert rows(empty, select(pauses.c.subject)) == [subject]
    assert last_act(empty) == ("console:anna", action, "a drill")
    with pytest.raises(PlauditError, match="paused already"):
        do(empty, on)
    do(empty, off, reason="all well")
    assert rows(empty, select(pauses.c.subject)) == []
    assert last_act(empty)[2] == "all well"


def test_an_act_without_a_reason_is_none(empty: Context) -> None:
    for reason in ("", "  ", "ok"):
        with pytest.raises(ReasonNeeded):
            do(empty, "pause-loop", reason=reason)
    with pytest.raises(NothingHere):
        do(empty, "format-disk")
    assert rows(empty, select(pauses.c.subject)) == []


def test_a_rollback_and_a_promotion_by_hand_are_decisions(recorded: Context) -> None:
    with recorded.database.reading() as connection:
        before = connection.execute(select(serving_state)).mappings().one()
    assert before["champion"] != before["last_proven"]
    do(recorded, "roll-back", reason="it rambles")
    assert rows(recorded, select(serving_state.c.champion)) == [before["last_proven"]]
    newest = rows(recorded, select(decisions.c.reason).order_by(decisions.c.sequence.desc()).limit(1))
    assert newest == [f"back from {before['champion']} to {before['last_proven']}: it rambles"]
    assert last_act(recorded) == ("console:anna", "champion.revert", "it rambles")
    with recorded.database.transaction() as connection:
        connection.execute(adapters.update().where(adapters.c.state == "challenger").values(state="reserve"))
    with recorded.database.reading() as connection:
        row = connection.execute(select(adapters).where(adapters.c.state == "reserve").limit(1)).mappings().first()
    assert row is not None
    do(recorded, "promote", f"{row['name']}@{row['version']}", "we know better")
    assert rows(recorded, select(serving_state.c.champion)) == [f"{row['name']}@{row['version']}"]
    assert last_act(recorded) == ("console:anna", "champion.promote", "we know better")


def test_an_experiment_is_paused_resumed_and_aborted(recorded: Context) -> None:
    running = select(experiments.c.experiment_id).where(
        experiments.c.status == "running", experiments.c.kind == "challenge"
    )
    (experiment,) = rows(recorded, running)
    for name, action in (("pause", "pause"), ("resume", "resume"), ("abort", "abort")):
        do(recorded, f"{name}-experiment", str(experiment))
        kind = rows(recorded, select(decisions.c.kind).order_by(decisions.c.sequence.desc()).limit(1))
        assert kind == [action]
        assert last_act(recorded)[1] == f"experiment.{action}"
    assert rows(recorded, running) == []


def test_a_dead_letter_is_sent_again_or_dropped_under_ones_name(recorded: Context) -> None:
    first, second = rows(recorded, select(dead_letters.c.letter_id).where(dead_letters.c.status == "open").limit(2))
    assert do(recorded, "drop-letter", str(first), "") == "/feedback?done=drop-letter"
    assert last_act(recorded)[:2] == ("console:anna", "dead_letter.dropped")
    recorded.event_log.ensure_topic(rows(recorded, select(dead_letters.c.topic).limit(1))[0])  # type: ignore[arg-type]
    do(recorded, "replay-letter", str(second), "")
    assert rows(recorded, select(dead_letters.c.status).where(dead_letters.c.letter_id == second)) == ["replayed"]
    with pytest.raises(PlauditError, match="dropped already"):
        do(recorded, "replay-letter", str(first), "")


def test_every_control_says_what_it_would_do() -> None:
    strip = {"champion": "loop@2", "before": "loop@1"}
    for name, control in ACTS.items():
        told = control.told(strip, "loop@3")
        assert told.endswith("."), name
        assert len(told) >= 30, name
    assert "loop@1 instead of loop@2" in ACTS["roll-back"].told(strip, "")
    assert "nothing to go back to" in ACTS["roll-back"].told({"champion": "base", "before": "base"}, "")
