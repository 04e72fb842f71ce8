"""What stood in the store at an instant, on SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import event

from infra.db import Database
from reward_model.evidence_repository import Basis, EvidenceRepository
from reward_model.rows import LabelRow
from tests.reward_model.store import (
    add_basis,
    add_event,
    add_interaction,
    add_label,
    add_pair,
    add_trust,
    bury,
    event_id,
)


def test_the_greatest_version_made_by_then_holds(database: Database) -> None:
    add_label(database, "a", 0, 60.0, 0.5)
    add_label(database, "a", 1, 10.0, 0.0)
    add_label(database, "a", 2, 20.0, 1.0)
    add_label(database, "b", 0, 12.0, 1.0)
    add_label(database, "c", 1, 15.0, 1.0, project="other")
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")

        def loves(instant: float, provisional: bool = False) -> dict[str, float | None]:
            found = repository.labels_as_of(instant, include_provisional=provisional, limit=10)
            return {row.key[0]: row.values["love"] for row in found}

        assert loves(5.0) == {}
        assert loves(15.0) == {"a": 0.0}
        assert loves(100.0) == {"a": 1.0}
        assert loves(100.0, provisional=True) == {"a": 1.0, "b": 1.0}
        newest = repository.labels_as_of(100.0, include_provisional=False, limit=10)[0]
        assert (newest.values["dwell"], newest.version, newest.status) == (None, 2, "final")


def test_a_version_made_before_the_one_it_replaces_is_no_newer(database: Database) -> None:
    """Clocks of two machines: the greater version holds, whatever time it bears."""
    add_label(database, "a", 1, 20.0, 0.0)
    add_label(database, "a", 2, 19.0, 1.0)
    with database.reading() as connection:
        found = EvidenceRepository(connection, "p").labels_as_of(30.0, include_provisional=False, limit=10)
    assert [(row.version, row.values["love"]) for row in found] == [(2, 1.0)]


def test_the_limit_keeps_the_newest_and_does_not_depend_on_insertion(database: Database) -> None:
    for name in ("r3", "r0", "r2", "r1"):
        add_label(database, name, 1, float(name[1] > "1"), 1.0)
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")
        found = repository.labels_as_of(9.0, include_provisional=False, limit=3)
        assert [row.key[0] for row in found] == ["r3", "r2", "r1"]
        assert (repository.older_labels(1.0), repository.older_labels(0.0)) == (2, 0)


def test_withdrawn_pairs_stood_until_they_were_withdrawn(database: Database) -> None:
    add_pair(database, "stays", 10.0)
    add_pair(database, "goes", 11.0, withdrawn_at=20.0)
    add_pair(database, "weightless", 12.0, weight=0.0)
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")
        assert [row.pair_id for row in repository.pairs_as_of(15.0, 10)] == ["goes", "stays"]
        assert [row.pair_id for row in repository.pairs_as_of(20.0, 10)] == ["stays"]
        assert repository.pairs_as_of(25.0, 10)[0].other == ("b", 1)


def test_answers_come_with_their_conversation_and_assignment(database: Database) -> None:
    add_interaction(database, "a", ("one", "two"), experiment="e1", arm="challenger", propensity=0.2, adapter="x@2")
    add_interaction(database, "a2")
    with database.reading() as connection:
        found = EvidenceRepository(connection, "p").answers([("a", 1), ("gone", 0)])
    assert [(row.key, row.text, row.user_key, row.origin) for row in found] == [(("a", 1), "two", "ann", "imported")]
    assert found[0].messages[0].content == "why?"
    assert (found[0].experiment, found[0].arm, found[0].propensity) == ("e1", "challenger", 0.2)


def test_many_answers_are_fetched_in_parts(sqlite_database: Database) -> None:
    for i in range(3):
        add_interaction(sqlite_database, f"r{i}")
    keys = [(f"r{i}", 0) for i in range(1203)]
    with sqlite_database.reading() as connection:
        assert len(EvidenceRepository(connection, "p").answers(keys)) == 3


def test_new_since_counts_answers_not_versions(database: Database) -> None:
    add_label(database, "a", 0, 9.0, 0.0)
    add_label(database, "a", 1, 10.0, 0.0)
    add_label(database, "a", 2, 20.0, 1.0)
    add_label(database, "b", 1, 30.0, 1.0)
    add_pair(database, "x", 20.0)
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")
        assert repository.new_since(0.0, 40.0, include_provisional=False) == (2, 1)
        assert repository.new_since(20.0, 40.0, include_provisional=False) == (1, 0)
        assert repository.new_since(20.0, 25.0, include_provisional=False) == (0, 0)


def test_trust_is_that_of_the_instant(database: Database) -> None:
    for at, weight in ((10.0, 0.9), (20.0, 0.5), (30.0, 0.0)):
        add_trust(database, "ann", at, weight)
    add_trust(database, "bob", 25.0, 0.7)
    add_trust(database, "bob", 26.0, 0.1, project="other")
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")
        assert repository.trust_as_of({"ann", "bob", "cyd"}, 20.0) == {"ann": 0.5}
        assert repository.trust_as_of({"ann", "bob"}, 30.0) == {"ann": 0.0, "bob": 0.7}
        assert repository.trust_as_of({"ann"}, 5.0) == {}
        assert repository.trust_as_of(set(), 5.0) == {}


def test_a_label_knows_the_events_it_was_made_from(database: Database) -> None:
    one, two = event_id(1), event_id(2)
    add_basis(database, "a", 1, 10.0, (one,))
    add_basis(database, "a", 2, 20.0, (one, two))
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")
        for version, events in ((1, {one}), (2, {one, two})):
            label = LabelRow(("a", 0), {}, {}, 20.0, version=version)
            assert repository.bases([label]) == {("a", 0): Basis(frozenset(events), known=True)}
        assert repository.bases([LabelRow(("a", 1), {}, {}, 20.0, version=1)]) == {}


def test_the_ledger_of_an_instant(database: Database) -> None:
    add_event(database, event_id(1), "a", "like", 5.0, user_key="bob")
    add_event(database, event_id(2), "a", "edit", 6.0, text="better")
    add_event(database, event_id(3), "a", "like", 9.0)
    add_event(database, event_id(4), "a", "like", 5.0, project="other")
    with database.reading() as connection:
        found = EvidenceRepository(connection, "p").ledger({"a", "b"}, 8.0)
    rows = sorted(found.pop(("a", 0)), key=lambda row: row.event_id)
    assert not found
    assert [(row.signal, row.user_key, row.text) for row in rows] == [("like", "bob", None), ("edit", None, "better")]


def test_labels_that_are_gone_are_found_by_their_bases(database: Database) -> None:
    ids = [event_id(i) for i in range(4)]
    add_basis(database, "there", 1, 10.0, (ids[0],))
    add_label(database, "there", 1, 10.0, 1.0)
    add_basis(database, "gone", 1, 11.0, (ids[1],))
    add_basis(database, "gone", 2, 12.0, (ids[1], ids[2]))
    add_basis(database, "remade", 1, 13.0, (ids[3],))
    add_basis(database, "remade", 2, 14.0, (ids[3],))
    add_label(database, "remade", 2, 14.0, 1.0)
    bury(database, "response", "gone")
    bury(database, "event", ids[3])
    with database.reading() as connection:
        repository = EvidenceRepository(connection, "p")
        assert repository.lost_labels(0.0, 50.0, 10) == {("gone", 0): frozenset(ids[1:3])}
        assert repository.lost_labels(0.0, 11.5, 10) == {("gone", 0): frozenset(ids[1:2])}
        assert repository.lost_labels(12.5, 50.0, 10) == {}
        assert repository.buried("response", {"gone", "there", ids[3]}) == {"gone"}
        assert repository.buried("event", set(ids)) == {ids[3]}


def test_the_newest_labels_are_read_off_the_end_of_an_index(sqlite_database: Database) -> None:
    """However long the history: no scan of the table, nothing sorted."""
    plans = plans_of(
        sqlite_database,
        lambda repository: repository.labels_as_of(9.0, include_provisional=False, limit=5),
    )
    assert "USING INDEX ix_labels_final" in plans[0]
    assert "TEMP B-TREE" not in plans[0]
    assert "SCAN" not in plans[0]


def test_the_other_queries_use_indexes_too(sqlite_database: Database) -> None:
    def read(repository: EvidenceRepository) -> None:
        repository.pairs_as_of(9.0, 5)
        repository.answers([("a", 0)])
        repository.ledger({"a"}, 9.0)
        repository.bases([LabelRow(("a", 0), {}, {}, 1.0)])
        repository.trust_as_of({"ann"}, 9.0)
        repository.lost_labels(0.0, 9.0, 5)
        repository.buried("event", {"a"})

    plans = plans_of(sqlite_database, read)
    assert len(plans) == 7
    for plan in plans:
        assert "SCAN" not in plan, plan


def plans_of(database: Database, read: Any) -> list[str]:
    """SQLite's plan of every query `read` makes."""
    asked: list[tuple[str, Any]] = []
    with database.reading() as connection:

        @event.listens_for(connection, "before_cursor_execute")
        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
            asked.append((statement, parameters))

        read(EvidenceRepository(connection, "p"))
        event.remove(connection, "before_cursor_execute", note)
        return [
            "\n".join(
                str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            )
            for statement, parameters in list(asked)
        ]
