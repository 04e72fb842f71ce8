"""What was erased is recognised: by event, by response, by person and instant; and nothing else is."""

from typing import TYPE_CHECKING

from ingest.erasure.repository import TombstoneRepository
from ingest.erasure.tombstones import any_erased, erased, erased_items, erased_responses, person_digest
from tests.ingest.builders import PROJECT, START, event, interaction

if TYPE_CHECKING:
    from infra.db import Database

ANNA, BERT = "a" * 32, "b" * 32


def test_nothing_erased_nothing_found(database: "Database") -> None:
    with database.transaction() as connection:
        assert not any_erased(connection, PROJECT)
        assert erased(connection, PROJECT, ["x"]) == set()
        assert erased_items(connection, PROJECT, [event(user_key=ANNA), interaction(user_key=ANNA)]) == set()


def test_erased_ids_are_found_within_their_project_only(database: "Database") -> None:
    ids = [f"e{number}" for number in range(10)]
    with database.transaction() as connection:
        TombstoneRepository(connection, PROJECT).add("event", ids[2:5], "erasure", START)
        TombstoneRepository(connection, PROJECT).add("response", ["r2"], "erasure", START)
    with database.reading() as connection:
        assert erased(connection, PROJECT, ids) == {"e2", "e3", "e4"}
        assert erased_responses(connection, PROJECT, ["r1", "r2", "r3"]) == {"r2"}
        assert any_erased(connection, PROJECT)
        assert erased(connection, "other", ids) == set()
        assert not any_erased(connection, "other")


def test_ids_sort_by_bytes_on_both_stores(database: "Database") -> None:
    """Bounds of the store are compared in Python: case and punctuation must sort alike."""
    ids = ["Z", "_", "a-b", "aB", "ab", "é"]
    with database.transaction() as connection:
        repository = TombstoneRepository(connection, PROJECT)
        repository.add("event", ids, "erasure", START)
        bounds = repository.bounds()
        assert (bounds.first_event, bounds.last_event) == (min(ids), max(ids))
        assert erased(connection, PROJECT, ids) == set(ids)


def test_whatever_speaks_of_an_erased_answer_is_erased(database: "Database") -> None:
    items = [event("r1"), event("r2"), event("r2", "duel", other_response_id="r1"), event("r3")]
    with database.transaction() as connection:
        TombstoneRepository(connection, PROJECT).add("response", ["r1"], "erasure", START)
        assert erased_items(connection, PROJECT, items) == {0, 2}
        assert erased_items(connection, PROJECT, [interaction("r1"), interaction("r2")]) == {0}


def test_a_person_is_erased_up_to_the_instant_and_welcome_afterwards(database: "Database") -> None:
    before, after = event("r1", user_key=ANNA), event("r2", user_key=ANNA, received_at=START + 1)
    other = event("r3", user_key=BERT)
    with database.transaction() as connection:
        TombstoneRepository(connection, PROJECT).add_people([person_digest(PROJECT, ANNA)], "erasure", START)
        assert erased_items(connection, PROJECT, [before, after, other]) == {0}
        assert erased(connection, PROJECT, [before.event_id, after.event_id]) == {before.event_id}
        assert erased_items(connection, PROJECT, [interaction("r9", user_key=ANNA)]) == {0}
        assert erased_items(connection, PROJECT, [event("r9", received_at=START + 5)]) == {0}, "its answer was erased"


def test_a_digest_depends_on_project_and_key() -> None:
    digests = {person_digest(project, key) for project in ("p", "q") for key in (ANNA, BERT)}
    assert len(digests) == 4
    assert all(ANNA not in digest for digest in digests)
