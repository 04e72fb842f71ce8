"""'Done when' 7: after an erasure nothing of the person is in any table or file, and nothing brings it back."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import delete, select, update

from infra.contracts import FeedbackEvent
from infra.db.tables import consumer_offsets, feedback_events, interactions, labels, tombstones
from infra.event_log import EventLogUnavailable, Record
from infra.runtime import JobContext
from infra.settings import rotate_user_secret, user_secrets
from ingest.asof import labels_as_of
from ingest.erasure.files import files_holding
from ingest.erasure.receipts import is_ours
from ingest.erasure.repository import ErasureRepository
from ingest.erasure.service import NobodyNamed, erase, finish_open
from ingest.jobs import run_label
from ingest.retention import run_retention
from ingest.topics import feedback_topic
from tests.ingest.builders import PROJECT, START
from tests.ingest.erasure.town import (
    ANNA,
    ANSWERS,
    BERT,
    SECRET_PROMPT,
    drain,
    event,
    everything,
    key_of,
    live,
    names_of,
    send,
    tables_holding,
)

if TYPE_CHECKING:
    from infra.runtime import Context


def labels_of(context: "Context") -> dict[tuple[str, int], dict[str, Any]]:
    with context.database.reading() as connection:
        rows = connection.execute(select(labels)).all()
    return {(row.response_id, row.choice): row.objective_values for row in rows}


def counts(context: "Context") -> dict[str, int]:
    with context.database.reading() as connection:
        return {name: len(rows) for name, rows in everything(connection).items()}


def test_nothing_of_the_person_is_left_and_the_others_keep_everything(context: "Context") -> None:
    live(context)
    names = names_of(context, ANNA)
    before = labels_of(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names), "the test must be able to fail"
    receipt = erase(context, user=ANNA, actor="test")
    with context.database.reading() as connection:
        assert tables_holding(connection, [*names, b"sister"]) == {}
        responses = set(connection.execute(select(interactions.c.response_id)).scalars())
    assert responses == {ANSWERS[name] for name in ("bert-1", "bert-2", "carl-1")}
    after = labels_of(context)
    assert set(after) == set(before) - {(ANSWERS["anna-1"], 0), (ANSWERS["anna-2"], 0)}
    for name in ("bert-2", "carl-1"):
        assert after[ANSWERS[name], 0] == before[ANSWERS[name], 0]
    assert before[ANSWERS["bert-1"], 0]["sentiment"] == pytest.approx(0.5), "one like, one dislike"
    assert after[ANSWERS["bert-1"], 0]["sentiment"] == 1.0, "her dislike no longer counts"
    assert receipt["rows_deleted"] == {"feedback_events": 6, "interactions": 2, "labels": 3, "pairs": 1}
    assert receipt["tombstones"] == {"events": 6, "responses": 2, "people": 1}


def test_no_file_below_the_data_folder_holds_the_person(sqlite_context: "Context") -> None:
    context = sqlite_context
    live(context)
    folder = context.settings.data_dir.parent
    names = [*names_of(context, ANNA), SECRET_PROMPT.encode()]
    assert files_holding(folder, names), "the test must be able to fail"
    receipt = erase(context, user=ANNA, actor="test")
    assert files_holding(folder, names) == []
    assert files_holding(folder, [BERT.encode(), key_of(context, BERT).encode()]), "others are still there"
    assert receipt["files_not_clean"] == []
    assert receipt["log_records_rewritten"] > 0


def test_reading_the_log_again_brings_nothing_back(context: "Context") -> None:
    live(context)
    erase(context, user=ANNA, actor="test")
    expected = counts(context)
    before = labels_of(context)
    with context.database.transaction() as connection:
        connection.execute(delete(consumer_offsets))
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}
    assert {**counts(context), "consumer_offsets": 0} == {**expected, "consumer_offsets": 0}
    assert labels_of(context) == before


def test_an_unredacted_log_brings_nothing_back_either(context: "Context", monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Kafka, whose records stay: tombstones alone must hold."""
    live(context)
    monkeypatch.setattr("ingest.erasure.service.redact_log", lambda *_: {})
    erase(context, user=ANNA, actor="test")
    expected, before = counts(context), labels_of(context)
    with context.database.transaction() as connection:
        connection.execute(delete(consumer_offsets))
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}
    assert {**counts(context), "consumer_offsets": 0} == {**expected, "consumer_offsets": 0}
    assert labels_of(context) == before


def test_a_restored_backup_learns_the_erasure_from_the_log(sqlite_context: "Context") -> None:
    context = sqlite_context
    live(context)
    context.database.close()
    store = Path(context.database.url.removeprefix("sqlite:///"))
    backup = store.with_name("backup.sqlite3")
    with context.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA query_only=OFF")
    _checkpoint(store)
    shutil.copy(store, backup)
    erase(context, user=ANNA, actor="test")
    after = labels_of(context)

    context.database.close()
    for name in (store, store.with_name(store.name + "-wal"), store.with_name(store.name + "-shm")):
        name.unlink(missing_ok=True)
    shutil.move(backup, store)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)), "the backup is from before"
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}
    assert labels_of(context) == after
    assert finish_open(context) == (1, 0)
    assert files_holding(context.settings.data_dir.parent, names_of(context, ANNA)) == []


def test_a_store_filled_anew_from_an_unredacted_log_has_nothing_of_the_person(
    context: "Context", monkeypatch: pytest.MonkeyPatch
) -> None:
    live(context)
    monkeypatch.setattr("ingest.erasure.service.redact_log", lambda *_: {})
    erase(context, user=ANNA, actor="test")
    after = labels_of(context)
    with context.database.transaction() as connection:
        for table in (consumer_offsets, feedback_events, interactions, labels, tombstones):
            connection.execute(delete(table))
        for name in ("pairs", "erased_people", "erasures"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}
    assert labels_of(context) == after


def test_records_that_were_on_their_way_stay_out(context: "Context") -> None:
    live(context)
    events = [event("bert-2", "like", ANNA)]
    send(context, events)  # accepted, not applied yet
    erase(context, user=ANNA, actor="test")
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}


def test_what_comes_again_over_the_log_is_cleaned_by_the_job(context: "Context") -> None:
    """A gateway that had the answer in hand, a client that sends its old events again."""
    events = live(context)
    late = FeedbackEvent(
        event_id=events[1]["event_id"],
        project=PROJECT,
        response_id=ANSWERS["anna-1"],
        signal="like",
        received_at=START,
        derived_at=START,
        user_key=key_of(context, ANNA),
    )
    erase(context, user=ANNA, actor="test")
    assert finish_open(context) == (0, 0)
    record = Record(b"k", msgspec.json.encode([late]), 0)
    context.event_log.append(feedback_topic(context.settings), [record]).result(30)
    drain(context)
    assert files_holding(context.settings.data_dir, names_of(context, ANNA)) != []
    assert run_retention(JobContext(context)).detail == "1 erasures cleaned"
    assert files_holding(context.settings.data_dir, names_of(context, ANNA)) == []
    assert finish_open(context) == (0, 0)


def test_a_person_who_comes_back_is_new(context: "Context", clock: Any) -> None:
    live(context)
    erase(context, user=ANNA, actor="test")
    clock.advance(1.0)
    send(context, [event("bert-2", "like", ANNA)])
    drain(context)
    with context.database.reading() as connection:
        found = connection.execute(
            select(feedback_events.c.signal).where(feedback_events.c.user_key == key_of(context, ANNA))
        ).scalars()
        assert list(found) == ["like"]


def test_keys_made_under_former_secrets_are_found(context: "Context") -> None:
    live(context)
    old = key_of(context, ANNA)
    rotate_user_secret(context.settings)
    assert key_of(context, ANNA) != old
    erase(context, user=ANNA, actor="test")
    with context.database.reading() as connection:
        assert tables_holding(connection, [old.encode()]) == {}


def test_erasing_by_key_and_erasing_twice(context: "Context") -> None:
    live(context)
    key = key_of(context, ANNA)
    assert erase(context, user_key=key, actor="test")["rows_deleted"]
    again = erase(context, user_key=key, actor="test")
    assert again["rows_deleted"] == {}
    for user_key in ("", "a" * 31, "A" * 32, "anna"):
        with pytest.raises(NobodyNamed):
            erase(context, user_key=user_key, actor="test")


def test_the_receipt_is_signed_and_names_nobody(context: "Context") -> None:
    live(context)
    names = names_of(context, ANNA)
    receipt = erase(context, user=ANNA, actor="test")
    assert not any(name.decode() in str(receipt) for name in names)
    assert is_ours(receipt, user_secrets(context.settings))
    rotate_user_secret(context.settings)
    assert is_ours(receipt, user_secrets(context.settings)), "also after a rotation"
    assert not is_ours({**receipt, "erased_at": 1.0}, user_secrets(context.settings))
    assert not is_ours({**receipt, "signature": ""}, user_secrets(context.settings))


def _checkpoint(store: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(store)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_final_labels_of_others_say_nothing_until_they_are_made_anew(context: "Context", clock: Any) -> None:
    live(context)
    clock.advance(30 * 86400.0)
    drain(context)
    close_windows(context)
    bert, carl = (ANSWERS["bert-1"], 0), (ANSWERS["carl-1"], 0)
    before = finals_of(context)
    assert before[bert, 1]["sentiment"] == pytest.approx(0.5)
    erase(context, user=ANNA, actor="test")
    blank = finals_of(context)
    assert set(blank[bert, 1].values()) == {None}
    assert blank[carl, 1] == before[carl, 1]
    close_windows(context)
    after = finals_of(context)
    assert after[bert, 2]["sentiment"] == 1.0, "a new version, from the votes of the others"
    assert {version for answer, version in after if answer == carl} == {1}


def test_a_set_as_of_the_past_names_what_is_gone(context: "Context", clock: Any) -> None:
    live(context)
    clock.advance(30 * 86400.0)
    drain(context)
    close_windows(context)
    then = clock.now()
    with context.database.reading() as connection:
        assert labels_as_of(connection, PROJECT, then).missing == []
    clock.advance(1.0)
    erase(context, user=ANNA, actor="test")
    close_windows(context)
    with context.database.reading() as connection:
        past, present = labels_as_of(connection, PROJECT, then), labels_as_of(connection, PROJECT, clock.now())
    assert {(one.response_id, one.reason) for one in past.missing} == {
        (ANSWERS[name], "erased") for name in ("anna-1", "anna-2", "bert-1")
    }
    assert ANSWERS["bert-1"] in {label.response_id for label in present.labels}


def close_windows(context: "Context") -> None:
    outcome = run_label(JobContext(context))
    assert outcome.status == "done", outcome


def finals_of(context: "Context") -> dict[tuple[tuple[str, int], int], dict[str, Any]]:
    with context.database.reading() as connection:
        rows = connection.execute(select(labels).where(labels.c.version > 0)).all()
    return {((row.response_id, row.choice), row.version): row.objective_values for row in rows}


def test_a_crash_after_the_log_has_it_is_finished_by_the_consumer(
    context: "Context", monkeypatch: pytest.MonkeyPatch
) -> None:
    live(context)
    with monkeypatch.context() as patch:

        def crash(*_: Any) -> None:
            raise MemoryError("the process dies before its commit")

        patch.setattr(ErasureRepository, "add", crash)
        with pytest.raises(MemoryError):
            erase(context, user=ANNA, actor="test")
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)), "rolled back"
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}
    assert finish_open(context) == (1, 0)
    assert files_holding(context.settings.data_dir, names_of(context, ANNA)) == []
    assert finish_open(context) == (0, 0)


def test_without_the_log_nothing_is_erased(sqlite_context: "Context") -> None:
    context = sqlite_context
    live(context)
    before = counts(context)
    context.event_log.close()
    with pytest.raises(EventLogUnavailable):
        erase(context, user=ANNA, actor="test")
    assert counts(context) == before


def test_a_dead_letter_about_the_person_goes_and_does_not_come_back(context: "Context") -> None:
    live(context)
    key, other = key_of(context, ANNA), key_of(context, BERT)
    topic = feedback_topic(context.settings)
    values = [
        b'[{"broken": "' + key.encode() + b'"}]',
        b"not json at all, " + ANSWERS["anna-1"].encode(),
        b'{"user": "' + ANNA.encode() + b'"}',
        b'[{"broken": "' + other.encode() + b'"}]',
    ]
    context.event_log.append(topic, [Record(b"k", value, 0) for value in values]).result(30)
    drain(context)
    assert letters(context) == 4
    erase(context, user=ANNA, actor="test")
    assert letters(context) == 1
    assert files_holding(context.settings.data_dir, names_of(context, ANNA)) == []
    with context.database.transaction() as connection:
        connection.execute(delete(consumer_offsets))
    drain(context)
    with context.database.reading() as connection:
        assert tables_holding(connection, names_of(context, ANNA)) == {}


def letters(context: "Context") -> int:
    return counts(context)["dead_letters"]


def test_other_products_of_the_store_are_left_alone(context: "Context") -> None:
    """The same user id in another product is another person, for all we know."""
    live(context)
    with context.database.transaction() as connection:
        for table in (feedback_events, interactions, labels):
            connection.execute(update(table).where(table.c.response_id == ANSWERS["anna-1"]).values(project="other"))
    receipt = erase(context, user=ANNA, actor="test")
    assert receipt["rows_deleted"]["interactions"] == 1
    with context.database.reading() as connection:
        found = set(tables_holding(connection, names_of(context, ANNA)))
    assert found == {"feedback_events", "interactions"}
