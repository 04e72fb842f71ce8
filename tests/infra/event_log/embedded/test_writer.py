"""Commits by one statement: the same offsets as step by step, whoever else appends."""

import random
import sqlite3
from pathlib import Path

from infra.event_log.embedded.log import SqliteEventLog
from infra.event_log.embedded.writer import FEW_RECORDS
from tests.conformance.logs import read, record
from tests.infra.event_log.embedded.conftest import OpenLog


def statements(log: SqliteEventLog) -> list[str]:
    """What the writer executes from now on."""
    seen: list[str] = []
    assert log._writer._connection is not None
    log._writer._connection.set_trace_callback(seen.append)
    return seen


def offsets(log: SqliteEventLog, *partitions: int) -> list[int]:
    future = log.append("t", [record(f"{place}", partition) for place, partition in enumerate(partitions)])
    return [position.offset for position in future.result(10)]


def test_few_records_are_committed_by_one_statement_and_many_by_a_transaction(open_log: OpenLog) -> None:
    log = open_log()
    assert offsets(log, 0, 1, 1) == [0, 0, 1]
    seen = statements(log)
    assert offsets(log, 1, 0, 1) == [2, 1, 3]
    assert not [sql for sql in seen if sql.startswith(("BEGIN", "COMMIT", "SELECT"))]
    assert len({sql for sql in seen if sql.startswith("INSERT INTO incoming")}) == 1
    many = FEW_RECORDS + 1
    assert offsets(log, *[1] * many) == list(range(4, 4 + many))
    assert "COMMIT" in seen
    assert offsets(log, 1) == [4 + many]


def test_two_processes_that_append_in_turn_lose_nothing_and_leave_no_gap(open_log: OpenLog) -> None:
    """Each log guesses offsets that the other one has taken since."""
    logs, rng = (open_log(), open_log()), random.Random(3)
    given: dict[int, list[int]] = {0: [], 1: [], 2: [], 3: []}
    for _ in range(60):
        partitions = [rng.randrange(4) for _ in range(rng.choice((1, 2, 5, FEW_RECORDS + 3)))]
        for partition, offset in zip(partitions, offsets(rng.choice(logs), *partitions), strict=True):
            given[partition].append(offset)
    assert all(found == list(range(len(found))) for found in given.values()), given
    consumer = logs[0].consumer("t", "g")
    count = sum(map(len, given.values()))
    assert len(read(consumer, count)) == count
    assert consumer.end_offsets() == {partition: len(found) for partition, found in given.items()}


def test_a_failed_statement_leaves_nothing_and_the_next_one_begins_where_the_file_says(
    open_log: OpenLog, path: Path
) -> None:
    log = open_log()
    assert offsets(log, 0) == [0]
    with sqlite3.connect(path) as other:
        other.execute("UPDATE heads SET next_offset = 7 WHERE partition = 0")
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON records WHEN NEW.value = x'00' BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
    other.close()
    assert log.append("t", [record("fits", 0), record(b"\0", 0)]).exception(10) is not None
    assert offsets(log, 0) == [7]
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM records").fetchone() == (2,)
    other.close()
