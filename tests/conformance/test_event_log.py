"""One suite for every adapter of the event log's port."""

import os
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.contracts import ManualClock, stable_hash
from infra.event_log import (
    EventLog,
    EventLogUnavailable,
    InvalidRecord,
    PartitionNotAssigned,
    Record,
    StoredRecord,
    UnknownTopic,
)
from tests.conformance.logs import Deployment, join, read, record, values
from tests.fixtures.helpers import wait_until


def append(log: EventLog, topic: str, *records: Record) -> list[tuple[int, int]]:
    positions = log.append(topic, records).result(30)
    assert {position.topic for position in positions} == {topic}
    return [(position.partition, position.offset) for position in positions]


class TestTopics:
    def test_a_topic_has_the_partitions_of_the_settings(self, deployment: Deployment) -> None:
        log = deployment.open()
        assert log.partitions(deployment.topic(log)) == 4

    def test_ensuring_a_topic_again_changes_nothing(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        append(log, topic, record("a", 0))
        identity = log.topic_identity(topic)
        log.ensure_topic(topic)
        assert log.topic_identity(topic) == identity
        assert append(log, topic, record("b", 0)) == [(0, 1)]

    def test_identities_differ_by_topic_and_are_the_same_for_every_client(self, deployment: Deployment) -> None:
        one, other = deployment.open(), deployment.open()
        first, second = deployment.topic(one), deployment.topic(one)
        assert one.topic_identity(first) == other.topic_identity(first)
        assert one.topic_identity(first) != one.topic_identity(second)

    def test_a_missing_topic_is_named(self, deployment: Deployment) -> None:
        log = deployment.open()
        with pytest.raises(UnknownTopic, match=r"no\.such\.topic"):
            log.partitions("no.such.topic")
        with pytest.raises(UnknownTopic, match=r"no\.such\.topic"):
            log.append("no.such.topic", [record("a")])
        with pytest.raises(UnknownTopic, match=r"no\.such\.topic"):
            log.consumer("no.such.topic", "g")


class TestAppend:
    def test_positions_are_contiguous_per_partition_and_in_order_of_the_records(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        assert append(log, topic, record("a", 1), record("b", 0), record("c", 1)) == [(1, 0), (0, 0), (1, 1)]
        assert append(log, topic, record("d", 1)) == [(1, 2)]

    def test_without_a_partition_the_key_decides_by_the_stable_hash(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        keys = [f"chatcmpl-{number}-ü" for number in range(32)]
        placed = append(log, topic, *(record("v", key=key.encode()) for key in keys))
        assert [partition for partition, _ in placed] == [stable_hash(key, 4) for key in keys]

    def test_an_empty_append_is_acknowledged_with_nothing(self, deployment: Deployment) -> None:
        log = deployment.open()
        assert log.append(deployment.topic(log), []).result(30) == []

    def test_what_no_retry_would_mend_is_refused_at_once(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        with pytest.raises(InvalidRecord, match=r"partition 4 is not in \[0, 4\)"):
            log.append(topic, [record("a", 4)])
        with pytest.raises(InvalidRecord, match="max_record_bytes"):
            log.append(topic, [record("fine", 0), record(bytes(5 * 1024 * 1024), 0)])
        assert append(log, topic, record("next", 0)) == [(0, 0)]  # nothing of the refused appends was written

    def test_appends_of_many_threads_and_clients_get_places_of_their_own(self, deployment: Deployment) -> None:
        logs = [deployment.open(), deployment.open()]
        topic = deployment.topic(logs[0])
        placed: dict[tuple[int, int], bytes] = {}
        lock = threading.Lock()

        def work(worker: int) -> None:
            for number in range(25):
                batch = [record(f"{worker}/{number}/{index}", index) for index in range(3)]
                for position, one in zip(append(logs[worker % 2], topic, *batch), batch, strict=True):
                    with lock:
                        assert position not in placed
                        placed[position] = one.value

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert placed.keys() == {(partition, offset) for partition in range(3) for offset in range(150)}
        consumer = deployment.consumer(logs[0], topic, "g")
        stored = read(consumer, 450)
        assert {(one.partition, one.offset): one.value for one in stored} == placed
        assert len(stored) == 450

    def test_closing_acknowledges_what_was_accepted(self, deployment: Deployment) -> None:
        log, reader = deployment.open(), deployment.open()
        topic = deployment.topic(log)
        futures = [log.append(topic, [record(str(number), 0)]) for number in range(200)]
        log.close()
        assert [future.result(0)[0].offset for future in futures] == list(range(200))
        stored = read(deployment.consumer(reader, topic, "g"), 200)
        assert values(stored) == [str(number).encode() for number in range(200)]

    def test_a_closed_log_accepts_nothing(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        append(log, topic, record("a"))
        assert log.healthy() is None
        log.close()
        with pytest.raises(EventLogUnavailable, match="closed"):
            log.append(topic, [record("b")]).result(30)
        assert "closed" in (log.healthy() or "")
        log.close()  # closing twice is harmless


class TestReading:
    def test_records_come_back_as_they_were_written(self, deployment: Deployment, clock: ManualClock) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        clock.advance(1.25)
        headers = (("schema", b"1"), ("größe-📏", bytes(range(256))), ("schema", b""))
        log.append(topic, [Record(key="ключ".encode(), value=b"\x00\xff", partition=2, headers=headers)]).result(30)
        (stored,) = read(deployment.consumer(log, topic, "g"), 1)
        assert (stored.topic, stored.partition, stored.offset) == (topic, 2, 0)
        assert (stored.key, stored.value, stored.headers) == ("ключ".encode(), b"\x00\xff", headers)
        assert stored.timestamp == pytest.approx(clock.now(), abs=0.001)

    def test_large_records_pass_whole(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        sent = [os.urandom(1024 * 1024) for _ in range(4)]  # random: compression must not help
        append(log, topic, *(record(value, 0) for value in sent))
        assert values(read(deployment.consumer(log, topic, "g"), 4)) == sent

    def test_poll_gives_at_most_what_was_asked_for_and_skips_nothing(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        append(log, topic, *(record(str(number), 0) for number in range(10)))
        consumer = deployment.consumer(log, topic, "g")
        polls: list[list[StoredRecord]] = []
        while sum(len(records) for records in polls) < 10:
            polls.append(consumer.poll(3, 1.0))
        assert max(len(records) for records in polls) == 3
        assert [one.offset for records in polls for one in records] == list(range(10))

    def test_an_idle_poll_returns_after_its_timeout_and_a_waiting_one_sees_new_records(
        self, deployment: Deployment
    ) -> None:
        log, writer = deployment.open(), deployment.open()
        topic = deployment.topic(log)
        consumer = deployment.consumer(log, topic, "g")
        join([consumer], 4)
        assert consumer.poll(10, 0.05) == []
        timer = threading.Timer(0.3, lambda: append(writer, topic, record("late")))
        timer.start()
        assert values(read(consumer, 1)) == [b"late"]
        timer.join()

    def test_seeking_before_the_first_read_decides_where_it_starts(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        for partition in range(4):
            append(log, topic, *(record(f"{partition}/{number}", partition) for number in range(5)))
        consumer = deployment.consumer(log, topic, "g")
        seen: list[bytes] = []
        sought: set[int] = set()

        def step() -> bool:
            # No record of a partition may come before newly_assigned() named it: that is the chance to seek.
            found = consumer.poll(100, 0.2)
            assert {one.partition for one in found} <= sought
            seen.extend(values(found))
            for partition in consumer.newly_assigned():
                consumer.seek(partition, 3)
                assert consumer.position(partition) == 3
                sought.add(partition)
            return len(seen) >= 8

        wait_until(step, 40.0)
        assert sorted(seen) == sorted(f"{p}/{n}".encode() for p in range(4) for n in (3, 4))
        assert consumer.newly_assigned() == frozenset()

    def test_seeking_back_reads_again_and_position_is_the_next_offset(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        append(log, topic, *(record(str(number), 1) for number in range(6)))
        consumer = deployment.consumer(log, topic, "g")
        assert len(read(consumer, 6)) == 6
        assert consumer.position(1) == 6
        consumer.seek(1, 4)
        assert consumer.position(1) == 4
        assert values(read(consumer, 2)) == [b"4", b"5"]

    def test_end_offsets_are_the_next_to_be_written(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        consumer = deployment.consumer(log, topic, "g")
        append(log, topic, record("a", 1), record("b", 3), record("c", 1))
        assert len(read(consumer, 3)) == 3
        assert consumer.end_offsets() == {0: 0, 1: 2, 2: 0, 3: 1}


class TestGroups:
    def test_another_start_resumes_at_the_committed_offset_and_another_group_at_the_beginning(
        self, deployment: Deployment
    ) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        append(log, topic, *(record(str(number), 2) for number in range(5)))
        first = deployment.consumer(log, topic, "resuming")
        assert len(read(first, 5)) == 5
        first.commit({2: 3})
        first.close()
        assert values(read(deployment.consumer(log, topic, "resuming"), 2)) == [b"3", b"4"]
        assert len(read(deployment.consumer(log, topic, "other"), 5)) == 5

    def test_members_split_the_partitions_and_a_leavers_are_taken_over(self, deployment: Deployment) -> None:
        one, two = deployment.open(), deployment.open()
        topic = deployment.topic(one)
        first, second = deployment.consumer(one, topic, "g"), deployment.consumer(two, topic, "g")
        join([first, second], 4)
        assert len(first.assignment()) == len(second.assignment()) == 2
        left = sorted(first.assignment())
        with pytest.raises(PartitionNotAssigned, match="not assigned"):
            second.seek(left[0], 0)
        with pytest.raises(PartitionNotAssigned, match="not assigned"):
            second.position(left[0])
        append(one, topic, *(record(str(partition), partition) for partition in range(4)))
        first.close()
        taken = read(second, 4)
        assert sorted(one.partition for one in taken) == [0, 1, 2, 3]  # nobody had read them
        assert second.assignment() == {0, 1, 2, 3}

    def test_a_member_that_loses_a_partition_gets_it_back_as_newly_assigned(self, deployment: Deployment) -> None:
        log = deployment.open()
        topic = deployment.topic(log)
        first = deployment.consumer(log, topic, "g")
        join([first], 4)
        assert first.newly_assigned() == {0, 1, 2, 3}
        second = deployment.consumer(log, topic, "g")
        join([first, second], 4)
        kept = first.assignment()
        assert first.newly_assigned() <= kept
        second.close()
        join([first], 4)
        assert first.newly_assigned() >= {0, 1, 2, 3} - kept


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    appends=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=64)), max_size=8), min_size=1, max_size=12
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_interleaving_of_appends_reads_back_in_order(
    deployment: Deployment, appends: list[list[tuple[int, bytes]]], seed: int
) -> None:
    """Appends are handed out without waiting, over two clients; each client's order must hold in each partition."""
    logs, topic, consumer = deployment.kept()
    choose = random.Random(seed)
    clients = [choose.choice((0, 1)) for _ in appends]
    sent = [
        (client, batch, logs[client].append(topic, to_records(batch)))
        for client, batch in zip(clients, appends, strict=True)
    ]
    expected: dict[int, dict[int, bytes]] = {partition: {} for partition in range(4)}
    last: dict[tuple[int, int], int] = {}
    for client, batch, future in sent:
        for position, (partition, value) in zip(future.result(30), batch, strict=True):
            assert position.partition == partition
            assert position.offset > last.get((client, partition), -1)  # a client's appends keep their order
            last[client, partition] = position.offset
            assert position.offset not in expected[partition]  # no two records share a place
            expected[partition][position.offset] = value
    stored = read(consumer, sum(map(len, appends)))
    for partition, values_by_offset in expected.items():
        found = [(one.offset, one.value) for one in stored if one.partition == partition]
        assert found == sorted(values_by_offset.items())
        end = consumer.position(partition)
        assert [offset for offset, _ in found] == list(range(end - len(found), end))


def to_records(batch: list[tuple[int, bytes]]) -> list[Record]:
    return [record(value, partition) for partition, value in batch]
